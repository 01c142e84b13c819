import { fromBase64url } from '../util/index.ts'

type Claims = Readonly<Record<string, unknown>>

const decoder = /* @__PURE__ */ new TextDecoder()

/** The claims in an ID token, unverified; nothing where it is no JWT. */
export function idTokenClaims(idToken: string | undefined): Claims | undefined {
  const payload = idToken?.split('.')[1]
  if (payload === undefined) return undefined
  try {
    const claims: unknown = JSON.parse(decoder.decode(fromBase64url(payload)))
    return typeof claims === 'object' && claims !== null && !Array.isArray(claims) ? (claims as Claims) : undefined
  } catch {
    return undefined
  }
}

/** When the server wants the session to be over, in milliseconds since the epoch (IPSIE OpenID Connect SL1 profile, `session_expiry`); nothing where it does not say. */
export function sessionExpiryIn(claims: Claims | undefined): number | undefined {
  const seconds = claims?.session_expiry
  return typeof seconds === 'number' && seconds > 0 && seconds < 1e11 ? seconds * 1000 : undefined
}

/** What an ID token of a refresh is compared with. */
export interface IdTokenExpectation {
  /** The one before it. */
  readonly before: string | undefined
  readonly subject: string
}

/** Claims that stay what they were at the sign-in; those in {@link OPTIONAL} may be left out, and must not be another one. */
const LASTING = ['iss', 'aud', 'auth_time', 'azp', 'nonce'] as const
const OPTIONAL: ReadonlySet<string> = new Set(['auth_time', 'nonce'])

/** Which claim of an ID token that came with a refresh is not as it has to be (OpenID Connect Core section 12.2). */
export function idTokenFault(fresh: string, { before, subject }: IdTokenExpectation): string | undefined {
  const claims = idTokenClaims(fresh)
  if (claims === undefined) return 'text'
  if (claims.sub !== subject) return 'sub'
  const known = idTokenClaims(before)
  if (known === undefined) return undefined
  return LASTING.find((name) => {
    if (claims[name] === undefined && OPTIONAL.has(name)) return false
    // Some servers tell the time of the sign-in only later.
    if (known[name] === undefined && name === 'auth_time') return false
    return JSON.stringify(audienceOf(claims[name])) !== JSON.stringify(audienceOf(known[name]))
  })
}

/** One audience may stand alone or in a list. */
function audienceOf(value: unknown): unknown {
  return Array.isArray(value) && value.length === 1 ? value[0] : value
}
