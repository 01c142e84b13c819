import type { KeyObject } from 'node:crypto'
import { calculateJwkThumbprint, type JWTHeaderParameters, SignJWT } from 'jose'
import { createDPoPCheck, type DPoPCheck, type DPoPCheckOptions, type DPoPVerdict } from '../../demo/dpop-check.ts'
import { Refusal } from '../../demo/refusal.ts'
import { testKey } from './keys.ts'
import { athOf } from './proofs.ts'

/** What the requests ask for, and when they do. */
export const URL_ASKED = 'https://api.test/list?page=2'
export const NOW = 1_750_000_000_000

const key = await testKey('ES256')
export const PUBLIC_JWK = { kty: key.publicJwk.kty, crv: key.publicJwk.crv, x: key.publicJwk.x, y: key.publicJwk.y }
/** What the access token `T` is bound to. */
export const JKT = await calculateJwkThumbprint(key.publicJwk)

/** What a proof has of its own. What is there as `undefined` is left out of it. */
export interface ProofParts {
  readonly header?: Readonly<Record<string, unknown>>
  readonly claims?: Readonly<Record<string, unknown>>
  readonly signedBy?: KeyObject
}

let count = 0

/** The claims of a genuine proof for `URL_ASKED` and the access token `T`. */
export function genuineClaims(): Readonly<Record<string, unknown>> {
  return { jti: `jti-${++count}`, htm: 'GET', htu: 'https://api.test/list', iat: NOW / 1000, ath: athOf('T') }
}

/** A genuine proof, but for what is replaced. */
export function proof({ header, claims, signedBy = key.keyObject }: ProofParts = {}): Promise<string> {
  const protectedHeader = { typ: 'dpop+jwt', alg: 'ES256', jwk: PUBLIC_JWK, ...header } as JWTHeaderParameters
  return new SignJWT({ ...genuineClaims(), ...claims }).setProtectedHeader(protectedHeader).sign(signedBy)
}

/** The same, with a signature that `jose` would not make. */
export function rawProof(header: object, sign: (input: string) => string): string {
  const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  const input = `${encode({ typ: 'dpop+jwt', jwk: PUBLIC_JWK, ...header })}.${encode(genuineClaims())}`
  return `${input}.${sign(input)}`
}

/** A check that takes the access token `T`. */
export interface Checked extends DPoPCheck {
  /** Asks for `URL_ASKED` with this proof. */
  send(dpop: string | string[] | undefined, authorization?: string): Promise<DPoPVerdict<object>>
}

/** Starts a check; `T` is bound to `jkt`, or to nothing if that is empty. */
export function checked({
  jkt = JKT,
  ...options
}: DPoPCheckOptions & { readonly jkt?: string | undefined } = {}): Checked {
  const check = createDPoPCheck({ now: () => NOW, ...options })
  return {
    ...check,
    send: (dpop, authorization = 'DPoP T') =>
      check.check(
        { method: 'GET', url: URL_ASKED, headers: { ...(dpop !== undefined && { dpop }), authorization } },
        async (token) => {
          if (token !== 'T') throw new Refusal('invalid_token', 'the token is not valid here')
          return jkt === '' ? {} : { cnf: { jkt } }
        },
      ),
  }
}
