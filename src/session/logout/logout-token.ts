import { readUnverifiedJwt } from '../../keys/index.ts'

/** A logout token whose claims are as they have to be (OpenID Connect Back-Channel Logout section 2.4). */
export interface LogoutToken {
  readonly issuer: string
  readonly subject: string | undefined
  readonly sid: string | undefined
  readonly jti: string
  /** `iat`, in milliseconds since the epoch. */
  readonly issuedAt: number
  /** Until when it would be taken, in milliseconds since the epoch. */
  readonly until: number
}

/** What is not as it has to be: the name of the header or claim, or what else. */
export type LogoutFault =
  | 'request'
  | 'text'
  | 'alg'
  | 'typ'
  | 'iss'
  | 'aud'
  | 'iat'
  | 'exp'
  | 'jti'
  | 'events'
  | 'nonce'
  | 'sub'
  | 'sid'
  | 'kid'
  | 'signature'
  | 'replay'

/** What a logout token is compared with. */
export interface LogoutExpectation {
  readonly issuer: string
  readonly clientId: string
  readonly algs: readonly string[]
  /** By the wall clock, in milliseconds since the epoch. */
  readonly now: number
}

const EVENT = 'http://schemas.openid.net/event/backchannel-logout'
/** What clocks may differ by. */
const TOLERANCE_MS = 60 * 1000
/** A logout is told at once or not at all; older tokens are somebody's find. */
const MAX_AGE_MS = 5 * 60 * 1000
/** Types that are somebody else's are refused; many servers name none, or the general one. */
const TYPES: ReadonlySet<unknown> = new Set([undefined, 'jwt', 'logout+jwt'])

/** Reads a logout token whose signature nobody has looked at, or tells what is wrong with it. All of it is cheap: it comes before the signature. */
export function readLogoutToken(text: string, expected: LogoutExpectation): LogoutToken | LogoutFault {
  const jwt = readUnverifiedJwt(text)
  if (jwt === undefined) return 'text'
  const { header, claims } = jwt
  if (!expected.algs.includes(String(header.alg))) return 'alg'
  if (!TYPES.has(shortType(header.typ))) return 'typ'
  const { iss, aud, iat, exp, jti } = claims
  if (iss !== expected.issuer) return 'iss'
  if (!(Array.isArray(aud) ? aud : [aud]).includes(expected.clientId)) return 'aud'
  const issuedAt = Number(iat) * 1000
  const isRecent = expected.now - MAX_AGE_MS - TOLERANCE_MS < issuedAt && issuedAt <= expected.now + TOLERANCE_MS
  if (typeof iat !== 'number' || !isRecent) return 'iat'
  const expiresAt = Number(exp) * 1000
  if (typeof exp !== 'number' || !(expected.now < expiresAt + TOLERANCE_MS)) return 'exp'
  if (!isText(jti)) return 'jti'
  const fault = faultOfLogout(claims)
  if (fault !== undefined) return fault
  const until = Math.min(expiresAt, issuedAt + MAX_AGE_MS) + TOLERANCE_MS
  const { sub, sid } = claims as { readonly sub?: string; readonly sid?: string }
  return { issuer: iss, subject: sub, sid, jti, issuedAt, until }
}

/** What makes a JWT a logout token, and an ID token none. */
function faultOfLogout({ events, nonce, sub, sid }: Readonly<Record<string, unknown>>): LogoutFault | undefined {
  const event: unknown = Object(events)[EVENT]
  if (typeof event !== 'object' || event === null || Array.isArray(event)) return 'events'
  if (nonce !== undefined) return 'nonce'
  if (sub === undefined && sid === undefined) return 'sub'
  if (sub !== undefined && !isText(sub)) return 'sub'
  return sid !== undefined && !isText(sid) ? 'sid' : undefined
}

/** `typ` without regard to case, and without the part that RFC 7515 section 4.1.9 lets people leave out. */
function shortType(typ: unknown): unknown {
  return typeof typ === 'string' ? typ.toLowerCase().replace(/^application\//, '') : typ
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== ''
}
