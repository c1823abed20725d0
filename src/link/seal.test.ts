// A kernel refuses a sealed module of which one byte has changed; that it does is shown in a guest (test/refusals.test.ts).
// Here: the seal is a PKCS#7 message that others can read too, always the same, and broken by any change.

import { verify, X509Certificate } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkSeal, seal } from './seal.ts';
import { sealCertificate } from './seal-key.ts';

const module = new TextEncoder().encode('any bytes at all will do for a module');

describe('the seal of a module', () => {
  it('stands behind the module, which stays as it is', async () => {
    const sealed = await seal(module);
    expect(sealed.subarray(0, module.length)).toEqual(module);
    expect(new TextDecoder().decode(sealed.slice(-28))).toBe('~Module signature appended~\n');
    expect(await checkSeal(sealed)).toEqual({ module, intact: true });
  });

  it('is the same for the same bytes', async () => {
    expect(await seal(module)).toEqual(await seal(module.slice()));
  });

  it('is missing from a module that has none', async () => {
    expect((await checkSeal(module)).intact).toBeUndefined();
  });

  it('is not taken for that of somebody who signed the module himself', async () => {
    const sealed = await seal(module);
    // Another certificate in the same place.
    const theirs = sealed.map((byte, i) => (i > module.length + 60 && i < module.length + 700 ? byte ^ 0x55 : byte));
    expect(await checkSeal(theirs)).toEqual({ module, intact: undefined });
  });

  it('is broken by a change of any byte, and never taken for intact', async () => {
    const sealed = await seal(module);
    await fc.assert(
      fc.asyncProperty(fc.nat(sealed.length - 1), fc.integer({ min: 1, max: 255 }), async (at, change) => {
        const damaged = sealed.slice();
        damaged[at]! ^= change;
        expect((await checkSeal(damaged)).intact).not.toBe(true);
      }),
    );
  });

  it('holds a certificate that signed itself and whose key made the signature', async () => {
    const certificate = new X509Certificate(Buffer.from(sealCertificate, 'base64'));
    expect(certificate.verify(certificate.publicKey)).toBe(true);
    const sealed = await seal(module);
    expect(Buffer.from(sealed).includes(certificate.raw)).toBe(true);
    // 256 bytes of signature end the message, in front of the 12 bytes of the trailer and the 28 of the magic.
    const signature = sealed.subarray(sealed.length - 40 - 256, sealed.length - 40);
    expect(verify('sha256', module, certificate.publicKey, signature)).toBe(true);
  });
});
