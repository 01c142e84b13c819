import { createHash } from 'node:crypto'
import { calculateJwkThumbprint, compactVerify, decodeJwt, decodeProtectedHeader, importJWK, type JWK } from 'jose'
import { Refusal } from './refusal.ts'

/** A proof that could be read; whether it is genuine is another question. */
export interface ReadProof {
  readonly jwt: string
  readonly header: Readonly<Record<string, unknown>>
  readonly claims: Readonly<Record<string, unknown>>
}

/** A proof of somebody who has the key. */
export interface GenuineProof extends ReadProof {
  readonly claims: ProofClaims
  /** RFC 7638 thumbprint of the key. */
  readonly jkt: string
}

/** What every proof says (RFC 9449 section 4.2). */
export interface ProofClaims extends Readonly<Record<string, unknown>> {
  readonly jti: string
  readonly htm: string
  readonly htu: string
  readonly iat: number
  readonly ath?: string
  readonly nonce?: string
}

/** What a proof is compared with. */
export interface ProofExpectation {
  readonly method: string
  /** The target of the request, without query and fragment. */
  readonly target: string
  readonly algs: readonly string[]
}

/** Registered, asymmetric, and taken here. */
export const PROOF_ALGS: readonly string[] = [
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
]

const WELL_FORMED = /^[\w-]+\.[\w-]+\.[\w-]*$/
/** The private members of RFC 7518 section 6, and the key itself where it is symmetric. */
const PRIVATE_MEMBERS = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k'] as const
const REQUIRED = { jti: 'string', htm: 'string', htu: 'string', iat: 'number' } as const

/**
 * Reads the one proof of a request: rules 1 and 2 of RFC 9449 section 4.3.
 *
 * @throws Refusal
 */
export function readProof(header: string | readonly string[] | undefined): ReadProof {
  // Node joins header lines with commas, which are in no JWT.
  const values = [header ?? []].flat().flatMap((line) => line.split(','))
  const [value] = values
  if (value === undefined) throw proofRefusal('there is no DPoP header')
  if (values.length > 1) throw proofRefusal('there is more than one DPoP header')
  const jwt = value.trim()
  if (!WELL_FORMED.test(jwt)) throw proofRefusal('the proof is not a JWT')
  try {
    return { jwt, header: { ...decodeProtectedHeader(jwt) }, claims: decodeJwt(jwt) }
  } catch {
    throw proofRefusal('the proof is not a JWT')
  }
}

/**
 * Checks that a proof is genuine and about this request: rules 3 to 9 of RFC 9449 section 4.3.
 *
 * @throws Refusal
 */
export async function checkProof(proof: ReadProof, expected: ProofExpectation): Promise<GenuineProof> {
  const { jwt, header, claims } = proof
  assertProofClaims(claims)
  if (header.typ !== 'dpop+jwt') throw proofRefusal('typ is not dpop+jwt')
  const { alg, jwk } = header
  if (typeof alg !== 'string' || !expected.algs.includes(alg)) throw proofRefusal('alg is not one that is taken here')
  if (!isObject(jwk)) throw proofRefusal('there is no jwk')
  // Before the signature: a private key that is told must not be used, however well it signs.
  const told = PRIVATE_MEMBERS.find((member) => Object.hasOwn(jwk, member))
  if (told !== undefined) throw proofRefusal('jwk has private members')
  const jkt = await verifySignature(jwt, alg, jwk)
  if (claims.htm !== expected.method) throw proofRefusal('htm is another method')
  if (claims.htu !== expected.target) throw proofRefusal('htu is another target')
  return { ...proof, claims, jkt }
}

/** `ath` of an access token (RFC 9449 section 4.2). */
export function accessTokenHash(accessToken: string): string {
  return createHash('sha256').update(accessToken).digest('base64url')
}

export function proofRefusal(reason: string): Refusal {
  return new Refusal('invalid_dpop_proof', reason)
}

function assertProofClaims(claims: Readonly<Record<string, unknown>>): asserts claims is ProofClaims {
  for (const [name, type] of Object.entries(REQUIRED)) {
    if (typeof claims[name] !== type || claims[name] === '') throw proofRefusal(`${name} is not a ${type}`)
  }
  for (const name of ['ath', 'nonce']) {
    if (claims[name] !== undefined && typeof claims[name] !== 'string') throw proofRefusal(`${name} is not a string`)
  }
}

async function verifySignature(jwt: string, alg: string, jwk: JWK): Promise<string> {
  try {
    await compactVerify(jwt, await importJWK(jwk, alg), { algorithms: [alg] })
    return await calculateJwkThumbprint(jwk)
  } catch {
    throw proofRefusal('the signature is not one of the key in jwk')
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
