import { fromBase64url, parseUrl } from '../util/index.ts'

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

/** Whom an ID token has to be of and for. */
export interface IdTokenParties {
  readonly issuer?: string | undefined
  readonly clientId: string
}

/** What is expected of an ID token that is of another server, or for another client (OpenID Connect Core section 3.1.3.7); nothing where all is well. */
export function idTokenMismatch(
  { iss, aud, azp = undefined }: Claims,
  { issuer, clientId }: IdTokenParties,
): string | undefined {
  if (issuer !== undefined && !isSameUrl(iss, issuer)) return `iss of the id_token to be "${issuer}"`
  const audiences: readonly unknown[] = Array.isArray(aud) ? aud : [aud]
  if (!audiences.includes(clientId)) return `aud of the id_token to contain "${clientId}"`
  return azp === undefined || azp === clientId ? undefined : `azp of the id_token to be "${clientId}"`
}

/** As discovery compares them: with or without the slash of an empty path. */
function isSameUrl(one: unknown, other: string): boolean {
  if (one === other) return true
  const url = typeof one === 'string' ? parseUrl(one) : undefined
  return url !== undefined && url.href === parseUrl(other)?.href
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

/** One audience may stand alone or in a list, and a list has no order (RFC 7519 section 4.1.3). */
function audienceOf(value: unknown): unknown {
  if (!Array.isArray(value)) return value
  return value.length === 1 ? value[0] : [...value].sort()
}
