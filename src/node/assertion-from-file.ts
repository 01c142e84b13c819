import { readUnverifiedJwt } from '../keys/index.ts'
import { JWT_BEARER } from '../oauth/index.ts'
import { type ClientAssertion, ConfigurationError } from '../token/index.ts'
import { type Clock, systemClock } from '../util/index.ts'
import { type FilePermissions, readSecretFile } from './secret-file.ts'

/** `client_assertion_type` of a JWT-SVID (draft-ietf-oauth-spiffe-client-auth). */
export const JWT_SPIFFE = 'urn:ietf:params:oauth:client-assertion-type:jwt-spiffe'

/** How an assertion in a file is read. */
export interface AssertionFromFileOptions {
  /** `client_assertion_type`. Default: `urn:ietf:params:oauth:client-assertion-type:jwt-bearer`. */
  readonly type?: string | undefined
  /** The longest file that is read. Default 64 KiB. */
  readonly maxBytes?: number | undefined
  /** Default `any`: platforms often leave such files readable to all of a pod. */
  readonly permissions?: FilePermissions | undefined
}

/** When an assertion is asked for. */
export interface AssertionMoment {
  readonly signal?: AbortSignal | undefined
  /** Where time comes from. Default: the system's clock. */
  readonly clock?: Clock | undefined
}

/** Gives an assertion that the platform made: for `clientAssertion(...)`, for the central service, or for one request. */
export type PlatformAssertion = (moment?: AssertionMoment) => Promise<ClientAssertion>

const JWT_TYPES: ReadonlySet<string> = new Set([JWT_BEARER, JWT_SPIFFE])

/**
 * An assertion that the platform keeps in a file, such as a projected service account token of Kubernetes. The file is read for every
 * attempt, so that a replaced one is taken up at once; it is never seen half-written.
 *
 * The function throws ConfigurationError with code `file_invalid`, `file_permissions` or `assertion_expired`, and TransportError with code
 * `file_unsettled`. They name the file and never its content.
 */
export function assertionFromFile(path: string, options: AssertionFromFileOptions = {}): PlatformAssertion {
  const { type = JWT_BEARER, maxBytes, permissions = 'any' } = options
  const subject = 'assertionFromFile'
  const isWhole = JWT_TYPES.has(type)
    ? (text: string): boolean => readUnverifiedJwt(text.trim()) !== undefined
    : undefined
  return async ({ clock = systemClock, signal } = {}) => {
    const text = await readSecretFile(path, { subject, maxBytes, permissions, isWhole })
    signal?.throwIfAborted()
    const value = text.trim()
    assertAlive(value, { subject: `${subject}: expected "${path}" to hold`, clock })
    return { type, value }
  }
}

/**
 * Refuses a JWT whose `exp` has passed (RFC 7519 section 4.1.4); what is no JWT, or has no end, passes.
 *
 * @throws ConfigurationError with code `assertion_expired`.
 */
export function assertAlive(
  value: string,
  { subject, clock }: { readonly subject: string; readonly clock: Clock },
): void {
  const exp = readUnverifiedJwt(value)?.claims.exp
  if (typeof exp !== 'number' || clock.wallTime() < exp * 1000) return
  const ago = Math.round((clock.wallTime() - exp * 1000) / 1000)
  throw new ConfigurationError(`${subject} an assertion that is valid, got one that expired ${ago} s ago`, {
    code: 'assertion_expired',
  })
}
