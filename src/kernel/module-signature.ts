// The signature of a module, by which the kernel itself notices when one byte of it has changed.
//
// A module that is damaged on its way is a danger that nothing inside it can avert: the kernel's loader applies its
// relocations, some without a check of their range, and then runs its init. But a kernel with MODULE_SIG=y looks at the
// signature behind a module before anything else (kernel/module/signing.c, Linux 6.1), and takes different errors
// differently: a signer that it does not know is fine unless signatures are enforced (-ENOKEY, the kernel is tainted as
// for any module from outside), whereas a signature that does not fit the file is fatal (-EKEYREJECTED). It can tell
// the two apart because a PKCS#7 message may bring its certificate along: the signature is then checked against that
// (pkcs7_verify in crypto/asymmetric_keys/pkcs7_verify.c), and only afterwards is the certificate's trust looked for.
//
// So each module ends with a PKCS#7 signature that holds its own certificate, made with a key that everybody knows. It
// says nothing about who made the module. Kernels without MODULE_SIG ignore it, as they ignore all behind the ELF file.
//
// The format (RFC 2315; what the kernel takes of it is in pkcs7.asn1): SignedData of version 1 with SHA-256 and RSA,
// detached, without authenticated attributes, which the kernel forbids for modules.

import { publicCertificate, publicPrivateKey } from './signature-key.ts';

/** The last bytes of a signed module. Source: include/linux/module_signature.h. */
const magic = new TextEncoder().encode('~Module signature appended~\n');

/** struct module_signature: algo, hash, id_type (PKEY_ID_PKCS7), signer_len, key_id_len, 3 bytes, sig_len in big-endian. */
const PKEY_ID_PKCS7 = 2;
const trailerSize = 12;

// ASN.1 tags (X.690, section 8).
const INTEGER = 0x02;
const OCTET_STRING = 0x04;
const NULL = 0x05;
const OBJECT_IDENTIFIER = 0x06;
const SEQUENCE = 0x30;
const SET = 0x31;
const CONTEXT_0 = 0xa0;

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** One element in distinguished encoding: tag, length, content. */
function der(tag: number, ...content: Uint8Array[]): Uint8Array {
  const body = concat(content);
  const { length } = body;
  const size = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >>> 8, length & 0xff];
  return concat([Uint8Array.of(tag, ...size), body]);
}

/** Object identifiers, encoded. */
const oid = {
  // 1.2.840.113549.1.7.2 and .1 (PKCS#7 signedData and data), 1.2.840.113549.1.1.1 (rsaEncryption)
  signedData: der(OBJECT_IDENTIFIER, Uint8Array.of(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02)),
  data: der(OBJECT_IDENTIFIER, Uint8Array.of(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01)),
  rsa: der(OBJECT_IDENTIFIER, Uint8Array.of(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01)),
  // 2.16.840.1.101.3.4.2.1 (SHA-256), 2.5.4.3 (common name)
  sha256: der(OBJECT_IDENTIFIER, Uint8Array.of(0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01)),
  commonName: der(OBJECT_IDENTIFIER, Uint8Array.of(0x55, 0x04, 0x03)),
};

const UTF8_STRING = 0x0c;
const one = der(INTEGER, Uint8Array.of(1));
const sha256 = der(SEQUENCE, oid.sha256, der(NULL));
const issuer = der(
  SEQUENCE,
  der(SET, der(SEQUENCE, oid.commonName, der(UTF8_STRING, new TextEncoder().encode('Suture integrity')))),
);

const fromBase64 = (text: string): Uint8Array<ArrayBuffer> => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));

const algorithm = { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' } as const;

/** The module with its signature behind it. The same bytes always give the same one: RSASSA-PKCS1-v1_5 has no random part. */
export async function signModule(module: Uint8Array): Promise<Uint8Array> {
  const key = await crypto.subtle.importKey('pkcs8', fromBase64(publicPrivateKey), algorithm, false, ['sign']);
  const signature = new Uint8Array(await crypto.subtle.sign(algorithm.name, key, new Uint8Array(module)));
  const signer = der(
    SEQUENCE,
    one,
    der(SEQUENCE, issuer, one),
    sha256,
    der(SEQUENCE, oid.rsa, der(NULL)),
    der(OCTET_STRING, signature),
  );
  const message = der(
    SEQUENCE,
    oid.signedData,
    der(
      CONTEXT_0,
      der(
        SEQUENCE,
        one,
        der(SET, sha256),
        der(SEQUENCE, oid.data),
        der(CONTEXT_0, fromBase64(publicCertificate)),
        der(SET, signer),
      ),
    ),
  );
  const trailer = new Uint8Array(trailerSize);
  trailer[2] = PKEY_ID_PKCS7;
  new DataView(trailer.buffer).setUint32(8, message.length, false);
  return concat([module, message, trailer, magic]);
}

/** A module without its signature. `intact` is undefined for one that Suture has not signed. */
export interface SignedModule {
  readonly module: Uint8Array;
  readonly intact: boolean | undefined;
}

/** Looks behind a module for a signature of Suture's and whether it fits. Never throws: what is not understood is not intact. */
export async function checkSignature(bytes: Uint8Array): Promise<SignedModule> {
  const end = bytes.length - magic.length - trailerSize;
  if (end < 0 || !magic.every((byte, i) => bytes[bytes.length - magic.length + i] === byte)) {
    return { module: bytes, intact: undefined };
  }
  const length = new DataView(bytes.buffer, bytes.byteOffset + end).getUint32(8, false);
  if (length > end) return { module: bytes, intact: false };
  const module = bytes.slice(0, end - length);
  const message = bytes.subarray(end - length);
  if (!includes(message, fromBase64(publicCertificate))) {
    // Somebody has signed the module for himself, unless the name is still ours: then the certificate is damaged.
    return { module, intact: includes(message, issuer) ? false : undefined };
  }
  const again = await signModule(module);
  return { module, intact: again.length === bytes.length && again.every((byte, i) => bytes[i] === byte) };
}

function includes(bytes: Uint8Array, wanted: Uint8Array): boolean {
  for (let at = 0; at + wanted.length <= bytes.length; at++) {
    if (wanted.every((byte, i) => bytes[at + i] === byte)) return true;
  }
  return false;
}
