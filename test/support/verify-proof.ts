import { constants, createHash, createPublicKey, type JsonWebKey, type KeyObject, verify } from 'node:crypto'

/** What a proof has to be about. */
export interface ProofTarget {
  readonly method: string
  /** As it was sent. */
  readonly url: string
  /** None at the authorization server. */
  readonly accessToken?: string | undefined
}

/** A proof that is genuine. */
export interface VerifiedProof {
  readonly alg: string
  readonly jwk: Readonly<Record<string, unknown>>
  /** RFC 7638 thumbprint of its key. */
  readonly jkt: string
  readonly claims: Readonly<Record<string, unknown>>
}

/** The members of a public key (RFC 7518 section 6, RFC 8037 section 2) in the order of their thumbprint. */
const MEMBERS: Readonly<Record<string, readonly string[]>> = {
  EC: ['crv', 'kty', 'x', 'y'],
  OKP: ['crv', 'kty', 'x'],
  RSA: ['e', 'kty', 'n'],
}
const PSS = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST }

/** Keys that were seen, by their thumbprint: to read one takes longer than to verify with it. */
const keys = new Map<string, KeyObject>()

/**
 * Checks what a proof says by itself and about its request (RFC 9449 section 4.3), at once. Nonce, `jti`, time and binding are left to the
 * server that is asked.
 *
 * @throws Error that names the rule.
 */
export function verifyProof(value: string | null | undefined, target: ProofTarget): VerifiedProof {
  const parts = /^([\w-]+)\.([\w-]+)\.([\w-]+)$/.exec(value ?? '')
  if (parts === null) throw new Error('expected one proof, got none or more')
  const [, head = '', body = '', signature = ''] = parts
  const header = decoded(head)
  const claims = decoded(body)
  if (Object.keys(header).sort().join() !== 'alg,jwk,typ') throw new Error(`header has ${Object.keys(header)}`)
  const { typ, alg, jwk } = header as { typ: unknown; alg: string; jwk: Record<string, unknown> }
  if (typ !== 'dpop+jwt') throw new Error(`typ is ${typ}`)
  const members = MEMBERS[String(jwk.kty)] ?? []
  if (Object.keys(jwk).sort().join() !== members.join()) throw new Error(`jwk has ${Object.keys(jwk)}`)
  const text = JSON.stringify(Object.fromEntries(members.map((name) => [name, jwk[name]])))
  const jkt = createHash('sha256').update(text).digest('base64url')
  if (!isSigned(alg, { key: keyOf(jkt, jwk), input: `${head}.${body}`, signature }))
    throw new Error('signature is wrong')
  assertAbout(claims, target)
  return { alg, jwk, jkt, claims }
}

function assertAbout(claims: Readonly<Record<string, unknown>>, { method, url, accessToken }: ProofTarget): void {
  const wanted = {
    htm: method,
    htu: url.replace(/[?#].*$/s, ''),
    ath: accessToken === undefined ? undefined : createHash('sha256').update(accessToken).digest('base64url'),
  }
  for (const [name, value] of Object.entries(wanted)) {
    if (claims[name] !== value) throw new Error(`${name} is ${claims[name]}, not ${value}`)
  }
  // 96 bits, at the least (RFC 9449 section 4.2).
  if (typeof claims.jti !== 'string' || claims.jti.length < 16) throw new Error('jti is missing or short')
  if (!Number.isInteger(claims.iat)) throw new Error('iat is no whole number')
}

interface Signed {
  readonly key: KeyObject
  readonly input: string
  readonly signature: string
}

function isSigned(alg: string, { key, input, signature }: Signed): boolean {
  const hash = /^(?:[REP]S)(256|384|512)$/.exec(alg)?.[1]
  const isEd = (alg === 'EdDSA' || alg === 'Ed25519') && key.asymmetricKeyType === 'ed25519'
  const kind = alg.startsWith('ES') ? 'ec' : 'rsa'
  if (!isEd && (hash === undefined || key.asymmetricKeyType !== kind)) throw new Error(`alg is ${alg}`)
  return verify(
    hash === undefined ? null : `sha${hash}`,
    Buffer.from(input),
    { key, ...(alg.startsWith('PS') ? PSS : { dsaEncoding: 'ieee-p1363' as const }) },
    Buffer.from(signature, 'base64url'),
  )
}

function keyOf(jkt: string, jwk: JsonWebKey): KeyObject {
  const key = keys.get(jkt) ?? createPublicKey({ key: jwk, format: 'jwk' })
  keys.set(jkt, key)
  return key
}

function decoded(part: string): Record<string, unknown> {
  return JSON.parse(Buffer.from(part, 'base64url').toString())
}
