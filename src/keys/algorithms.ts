/** What a JWS algorithm asks of its key, in the words of Web Cryptography. */
export interface Algorithm {
  readonly kind: KeyKind
  readonly sign: { readonly name: string; readonly hash?: string; readonly saltLength?: number }
}

/** Kinds of keys that algorithms tell apart: the JWK `kty`, with the curve where there is one. */
export type KeyKind = 'RSA' | 'P-256' | 'P-384' | 'P-521' | 'Ed25519'

/** The least RSA modulus length, in bits (RFC 7518 section 3.3). */
export const MIN_RSA_BITS = 2048

function bits(alg: string): number {
  return Number(alg.slice(2))
}

const rsaPkcs1 = (): Algorithm => ({ kind: 'RSA', sign: { name: 'RSASSA-PKCS1-v1_5' } })
const rsaPss = (alg: string): Algorithm => ({ kind: 'RSA', sign: { name: 'RSA-PSS', saltLength: bits(alg) / 8 } })
const ecdsa = (kind: KeyKind, alg: string): Algorithm => ({
  kind,
  sign: { name: 'ECDSA', hash: `SHA-${bits(alg)}` },
})

/** Every algorithm that assertions and proofs are signed with; symmetric ones and `none` are not among them. */
export const ALGORITHMS: ReadonlyMap<string, Algorithm> = /* @__PURE__ */ new Map([
  ...['RS256', 'RS384', 'RS512'].map((alg): [string, Algorithm] => [alg, rsaPkcs1()]),
  ...['PS256', 'PS384', 'PS512'].map((alg): [string, Algorithm] => [alg, rsaPss(alg)]),
  ['ES256', ecdsa('P-256', 'ES256')],
  ['ES384', ecdsa('P-384', 'ES384')],
  ['ES512', ecdsa('P-521', 'ES512')],
  ['EdDSA', { kind: 'Ed25519', sign: { name: 'Ed25519' } }],
  ['Ed25519', { kind: 'Ed25519', sign: { name: 'Ed25519' } }],
])

/** The algorithm that a key is used with when nothing else is said. */
export const DEFAULT_ALG: Readonly<Record<KeyKind, string>> = {
  RSA: 'RS256',
  'P-256': 'ES256',
  'P-384': 'ES384',
  'P-521': 'ES512',
  Ed25519: 'EdDSA',
}

/** What `chooseAlg` looks at of a key. */
export interface KeySort {
  readonly kind: KeyKind
  /** Modulus length of an RSA key. */
  readonly rsaBits?: number | undefined
}

const CURVES: ReadonlyMap<unknown, readonly KeyKind[]> = /* @__PURE__ */ new Map([
  ['EC', ['P-256', 'P-384', 'P-521']],
  ['OKP', ['Ed25519']],
] satisfies [string, KeyKind[]][])

/** What a JWK is, by `kty` and `crv` together (RFC 7518 section 6, RFC 8037 section 2); `undefined` when it is nothing that signs here. */
export function sortOfJwk({ kty, crv, n }: Readonly<Record<string, unknown>>): KeySort | undefined {
  // Six bits a character; a modulus has no leading zeros, so this is at most five bits too many.
  if (kty === 'RSA') return { kind: kty, rsaBits: isText(n) ? Math.floor((n.length * 6) / 8) * 8 : undefined }
  const kind = CURVES.get(kty)?.find((curve) => curve === crv)
  return kind && { kind }
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== ''
}
