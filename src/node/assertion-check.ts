import { readUnverifiedJwt } from '../keys/index.ts'
import { JWT_BEARER } from '../oauth/index.ts'
import { type ClientAssertion, ConfigurationError } from '../token/index.ts'
import { type Clock, describe } from '../util/index.ts'

/** `client_assertion_type` of a JWT-SVID (draft-ietf-oauth-spiffe-client-auth). */
export const JWT_SPIFFE = 'urn:ietf:params:oauth:client-assertion-type:jwt-spiffe'

/** What the reuse of a JWT depends on (RFC 7519 section 4.1), in seconds. */
export interface JwtDates {
  readonly exp: number | undefined
  readonly iat: number | undefined
  readonly jti: string | undefined
}

const JWT_TYPES: ReadonlySet<string> = new Set([JWT_BEARER, JWT_SPIFFE])

/** Whether assertions of this type are JWTs. */
export function isJwtType(type: string): boolean {
  return JWT_TYPES.has(type)
}

/** The dates of a text that is a whole JWT, as far as that shows without its key; `undefined` when it is not. */
export function datesOf(jwt: string): JwtDates | undefined {
  const claims = readUnverifiedJwt(jwt)?.claims
  if (claims === undefined) return undefined
  const { exp, iat, jti } = claims
  return { exp: seconds(exp), iat: seconds(iat), jti: typeof jti === 'string' ? jti : undefined }
}

function seconds(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined
}

/** Where an assertion came from, and how it is judged. */
export interface AssertionOrigin {
  /** Names the place in messages. */
  readonly subject: string
  readonly type: string
  readonly clock: Clock
}

/**
 * An assertion with this text, if it can be sent.
 *
 * @throws ConfigurationError with code `client_assertion_invalid` when a JWT is not whole, `assertion_expired` when its `exp` has
 * passed.
 */
export function checkedAssertion(
  value: string,
  { subject, type, clock }: AssertionOrigin,
): { readonly assertion: ClientAssertion; readonly dates: JwtDates | undefined } {
  const dates = isJwtType(type) ? datesOf(value) : undefined
  if (value === '' || (isJwtType(type) && dates === undefined)) {
    throw new ConfigurationError(`${subject}: expected a whole JWT, got ${value === '' ? 'nothing' : 'another text'}`, {
      code: 'client_assertion_invalid',
    })
  }
  const exp = dates?.exp
  const now = clock.wallTime()
  if (exp !== undefined && exp * 1000 <= now) {
    const age = Math.max(Math.floor(now / 1000 - exp), 0)
    throw new ConfigurationError(`${subject}: expected an assertion that is valid, got one that expired ${age} s ago`, {
      code: 'assertion_expired',
    })
  }
  return { assertion: { type, value }, dates }
}

/** Refuses a type that is none, when a source is created. */
export function assertType(option: string, type: unknown): void {
  if (typeof type === 'string' && type !== '') return
  throw new ConfigurationError(`${option}: expected type to be a non-empty string, got ${describe(type)}`, {
    code: 'option_invalid',
  })
}
