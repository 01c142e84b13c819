import type { IncomingHttpHeaders } from 'node:http'
import { accessTokenHash, checkProof, type GenuineProof, PROOF_ALGS, proofRefusal, readProof } from './dpop-proof.ts'
import { createProofRecord, createUsedProofs, type ProofRecord, type RecordedProof } from './dpop-record.ts'
import { type NoncePolicy, noNonces } from './nonce-policy.ts'
import { challengeOf, Refusal } from './refusal.ts'

/** What a server demands of proofs. */
export interface DPoPCheckOptions {
  /** Default: none. */
  readonly nonces?: NoncePolicy
  /** JWS algorithms. Default: all that RFC 9449 allows and `jose` has. */
  readonly algs?: readonly string[]
  /** How far `iat` may be from the server's time, to either side. Default: 60. */
  readonly windowSeconds?: number
  /** The server's time, in milliseconds since the epoch. */
  readonly now?: () => number
  /** How many used proofs are remembered. Default: 100,000. */
  readonly remembers?: number
  /** How many proofs the record keeps. Default: 20,000. */
  readonly records?: number
}

/** A request as far as proofs are concerned. */
export interface DPoPRequest {
  readonly method: string
  /** The absolute URL that was asked for, with the origin that the server knows itself by: not what `Host` says. */
  readonly url: string
  readonly headers: IncomingHttpHeaders
}

/** Tells what an access token says. Throws a `Refusal` when it is not good for the request. */
export type VerifyToken<T> = (accessToken: string) => Promise<T>

/** What comes of a request. */
export type DPoPVerdict<T> = {
  /** For the answer, whatever it is. */
  readonly headers: Readonly<Record<string, string>>
} & ({ readonly refusal: undefined; readonly proof: GenuineProof; readonly token: T } | { readonly refusal: Refusal })

/** Checks requests with DPoP proofs. */
export interface DPoPCheck {
  readonly record: ProofRecord
  /** The server's time, by which it dates its answers. */
  readonly now: () => number
  /** Checks a request to an API (RFC 9449 section 7): the proof, its token, and that they belong together. */
  check<T extends object>(request: DPoPRequest, verifyToken: VerifyToken<T>): Promise<DPoPVerdict<T>>
  /** Checks a request to a token endpoint, which has a proof and no token (RFC 9449 section 5). Refuse it with status 400. */
  checkProof(request: DPoPRequest): Promise<DPoPVerdict<undefined>>
}

/** Starts with nothing seen. */
export function createDPoPCheck(options: DPoPCheckOptions = {}): DPoPCheck {
  const { nonces = noNonces(), algs = PROOF_ALGS, now = Date.now } = options
  const record = createProofRecord(options.records ?? 20_000)
  const assertFresh = createFreshness(options, nonces)

  async function verdictOn<T>(
    { method, url, headers }: DPoPRequest,
    accessToken: () => string | undefined,
    verifyToken: (accessToken: string | undefined, proof: GenuineProof) => Promise<T>,
  ): Promise<DPoPVerdict<T>> {
    let seen: RecordedProof | undefined
    try {
      const presented = accessToken()
      seen = readProof(headers.dpop)
      const proof = await checkProof(seen, { method, target: url.replace(/[?#].*$/, ''), algs })
      seen = proof
      // Nothing is awaited in there: a proof that is looked for is claimed at once.
      assertFresh(proof, presented)
      const token = await verifyToken(presented, proof)
      record.addAccepted(proof)
      return { refusal: undefined, proof, token, headers: withNonce({ isAccepted: true, nonce: proof.claims.nonce }) }
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      return refused(error, seen)
    }
  }

  function refused(cause: Refusal, proof: RecordedProof | undefined): { refusal: Refusal; headers: HeaderFields } {
    const nonce = proof?.claims.nonce
    const headers = withNonce({ isAccepted: false, nonce: typeof nonce === 'string' ? nonce : undefined })
    // A server that gives no nonce cannot ask for one.
    const isVain = cause.error === 'use_dpop_nonce' && headers['dpop-nonce'] === undefined
    const refusal = isVain ? proofRefusal('there are no nonces here') : cause
    record.addRefused(refusal, proof)
    return { refusal, headers: { ...headers, 'www-authenticate': challengeOf('DPoP', refusal, algs.join(' ')) } }
  }

  function withNonce(answer: Parameters<NoncePolicy['nonceFor']>[0]): HeaderFields {
    const nonce = nonces.nonceFor(answer)
    return nonce === undefined ? {} : { 'dpop-nonce': nonce }
  }

  return {
    record,
    now,
    check: (request, verifyToken) =>
      verdictOn(
        request,
        () => accessTokenOf(request.headers),
        async (accessToken = '', { jkt }) => {
          const token = await verifyToken(accessToken)
          if (thumbprintIn(token) !== jkt) throw new Refusal('invalid_token', 'the token is bound to another key')
          return token
        },
      ),
    checkProof: (request) =>
      verdictOn(
        request,
        () => undefined,
        async () => undefined,
      ),
  }
}

type HeaderFields = Readonly<Record<string, string>>

/** Rules 10 to 12 of RFC 9449 section 4.3, but for the key that the token is bound to, and section 11.1. */
function createFreshness(
  { windowSeconds = 60, now = Date.now, remembers = 100_000 }: DPoPCheckOptions,
  nonces: NoncePolicy,
): (proof: GenuineProof, accessToken: string | undefined) => void {
  // A proof that is dated ahead by the window is accepted for twice the window.
  const used = createUsedProofs({ lifetimeMs: 2 * windowSeconds * 1000, max: remembers })
  return ({ claims }, accessToken) => {
    const { nonce, iat, ath } = claims
    if (!nonces.accepts(nonce)) {
      throw new Refusal('use_dpop_nonce', nonce === undefined ? 'there is no nonce' : 'nonce is not a current one')
    }
    if (Math.abs(now() / 1000 - iat) > windowSeconds) throw proofRefusal('iat is too far from now')
    if (accessToken !== undefined) {
      if (ath === undefined) throw proofRefusal('there is no ath')
      if (ath !== accessTokenHash(accessToken)) throw proofRefusal('ath is of another token')
    }
    if (!used.use(claims, now())) throw proofRefusal('jti has been used')
  }
}

/** The token, which has to come as DPoP (RFC 9449 sections 7.1 and 7.2). */
function accessTokenOf({ authorization = '' }: IncomingHttpHeaders): string {
  const [, scheme, token] = /^(\S+) +(\S+)$/.exec(authorization) ?? []
  if (scheme === undefined || token === undefined) throw new Refusal('none', 'there is no token')
  if (scheme.toLowerCase() === 'dpop') return token
  throw new Refusal('invalid_token', 'the token is not sent with the scheme DPoP')
}

/** `cnf.jkt` of a token (RFC 9449 section 6.1). */
function thumbprintIn(token: object): unknown {
  const cnf: unknown = 'cnf' in token ? token.cnf : undefined
  return typeof cnf === 'object' && cnf !== null && 'jkt' in cnf ? cnf.jkt : undefined
}
