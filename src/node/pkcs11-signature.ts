import { constants, createHash, createPublicKey, verify } from 'node:crypto'
import type { Handle, Mechanism } from 'pkcs11js'
import type { Signer } from '../keys/index.ts'
import type { Pkcs11js, Pkcs11Library } from './pkcs11-library.ts'

/** What is signed, and how. */
export interface SigningInput {
  readonly input: Uint8Array
  readonly alg: string
}

/** Lets the token sign. */
export async function signWith(
  { module, names }: Pkcs11Library,
  { handle, key }: { readonly handle: Handle; readonly key: Handle },
  { input, alg }: SigningInput,
): Promise<Uint8Array> {
  module.C_SignInit(handle, mechanismFor(alg, names), key)
  const data = alg.startsWith('ES') ? createHash(hashOf(alg)).update(input).digest() : Buffer.from(input)
  return module.C_SignAsync(handle, data, Buffer.alloc(MAX_SIGNATURE_BYTES))
}

/** Whether a signature is by the key with a public part. */
export type IsSignature = (signature: Uint8Array, of: SigningInput) => boolean

/** Reads the public part once, for many signatures. It throws when the numbers are no key. */
export function signatureCheck(publicJwk: Signer['publicJwk']): IsSignature {
  const key = createPublicKey({ key: { ...publicJwk }, format: 'jwk' })
  return (signature, { input, alg }) =>
    verify(
      hashOf(alg),
      input,
      {
        key,
        dsaEncoding: 'ieee-p1363',
        ...(alg.startsWith('PS') && {
          padding: constants.RSA_PKCS1_PSS_PADDING,
          saltLength: constants.RSA_PSS_SALTLEN_DIGEST,
        }),
      },
      signature,
    )
}

function hashOf(alg: string): string {
  return `sha${alg.slice(2)}`
}

/** RSA of 8192 bits. */
const MAX_SIGNATURE_BYTES = 1024

/** Mechanisms of RFC 7518's algorithms. ECDSA gives R || S as a JWS has it, over a hash that is made here. */
function mechanismFor(alg: string, names: Pkcs11js): Mechanism {
  if (alg.startsWith('ES')) return { mechanism: names.CKM_ECDSA }
  const [pkcs1, pss, hashAlg, mgf] = {
    256: [names.CKM_SHA256_RSA_PKCS, names.CKM_SHA256_RSA_PKCS_PSS, names.CKM_SHA256, names.CKG_MGF1_SHA256] as const,
    384: [names.CKM_SHA384_RSA_PKCS, names.CKM_SHA384_RSA_PKCS_PSS, names.CKM_SHA384, names.CKG_MGF1_SHA384] as const,
    512: [names.CKM_SHA512_RSA_PKCS, names.CKM_SHA512_RSA_PKCS_PSS, names.CKM_SHA512, names.CKG_MGF1_SHA512] as const,
  }[alg.slice(2) as '256' | '384' | '512']
  if (alg.startsWith('RS')) return { mechanism: pkcs1 }
  const saltLen = Number(alg.slice(2)) / 8
  return { mechanism: pss, parameter: { type: names.CK_PARAMS_RSA_PSS, hashAlg, mgf, saltLen } as RsaPss }
}

type RsaPss = import('pkcs11js').RsaPSS
