// Boots a guest and never ends by itself: the tests end it, in every way there is.
// Arguments: the kernel's name, a word for the kernel's command line to find QEMU by.

import { openKernel } from '../../dist/host/kernel-store.js';
import { bootGuest } from '../../dist/lab/guest.js';
import { guestKernel } from '../../dist/lab/guest-kernel.js';

const [name, mark] = process.argv.slice(2);
const guest = await bootGuest(guestKernel(await openKernel(name)), { kernelArguments: [mark] });
await guest.run('sleep 3600', { timeout: 3600 });
