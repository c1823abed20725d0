// A kernel refuses a signed module of which one byte has changed; that it does is shown in a guest (test/refusals.test.ts).
// Here: the signature is a PKCS#7 message that others can read too, always the same, and broken by any change.

import { verify, X509Certificate } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkSignature, signModule } from './module-signature.ts';
import { publicCertificate } from './signature-key.ts';

const module = new TextEncoder().encode('any bytes at all will do for a module');

describe('the signature of a module', () => {
  it('stands behind the module, which stays as it is', async () => {
    const signed = await signModule(module);
    expect(signed.subarray(0, module.length)).toEqual(module);
    expect(new TextDecoder().decode(signed.slice(-28))).toBe('~Module signature appended~\n');
    expect(await checkSignature(signed)).toEqual({ module, intact: true });
  });

  it('is the same for the same bytes', async () => {
    expect(await signModule(module)).toEqual(await signModule(module.slice()));
  });

  it('is missing from a module that has none', async () => {
    expect((await checkSignature(module)).intact).toBeUndefined();
  });

  it('is not taken for that of somebody who signed the module himself', async () => {
    const signed = await signModule(module);
    // Another certificate in the same place.
    const theirs = signed.map((byte, i) => (i > module.length + 60 && i < signed.length - 300 ? byte ^ 0x55 : byte));
    expect(await checkSignature(theirs)).toEqual({ module, intact: undefined });
  });

  it('is broken by a change of any byte, and never taken for intact', async () => {
    const signed = await signModule(module);
    await fc.assert(
      fc.asyncProperty(fc.nat(signed.length - 1), fc.integer({ min: 1, max: 255 }), async (at, change) => {
        const damaged = signed.slice();
        damaged[at]! ^= change;
        expect((await checkSignature(damaged)).intact).not.toBe(true);
      }),
    );
  });

  it('holds a certificate that signed itself and whose key made the signature', async () => {
    const certificate = new X509Certificate(Buffer.from(publicCertificate, 'base64'));
    expect(certificate.verify(certificate.publicKey)).toBe(true);
    const signed = await signModule(module);
    expect(Buffer.from(signed).includes(certificate.raw)).toBe(true);
    // 256 bytes of signature end the message, in front of the 12 bytes of the trailer and the 28 of the magic.
    const signature = signed.subarray(signed.length - 40 - 256, signed.length - 40);
    expect(verify('sha256', module, certificate.publicKey, signature)).toBe(true);
  });
});
