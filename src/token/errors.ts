import type { SessionEnd } from './session-end.ts'

/** What every error of this package carries beside its message. */
export interface ErrorDetails {
  /** A stable name for what went wrong, for programs. */
  readonly code: string
  readonly cause?: unknown
}

/** Survives a second copy of this package in one process, which `instanceof` does not. */
const brand = Symbol.for('evertoken.error')

abstract class EvertokenError extends Error {
  /** A stable name for what went wrong, for programs. */
  readonly code: string
  /** Whether the same call may succeed later without anybody changing anything. */
  abstract readonly retryable: boolean
  constructor(message: string, { code, cause }: ErrorDetails) {
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
    Object.defineProperty(this, brand, { value: true })
  }
}

/** The programmer has to act: a configuration or a call that cannot work. */
export class ConfigurationError extends EvertokenError {
  override readonly name: string = 'ConfigurationError'
  readonly retryable: boolean = false
}

/** What a {@link TokenEndpointError} tells beside its code. */
export interface TokenEndpointErrorDetails extends ErrorDetails {
  readonly error: string
  readonly errorDescription?: string | undefined
  readonly errorUri?: string | undefined
  readonly status: number
  readonly retryable: boolean
  readonly retryAt?: number | undefined
  readonly clockSkewMs?: number | undefined
}

/** The operator has to act: the authorization server said no (RFC 6749 section 5.2). */
export class TokenEndpointError extends EvertokenError {
  override readonly name: string = 'TokenEndpointError'
  readonly retryable: boolean
  /** The server's `error`, or `http_<status>` when it gave none. */
  readonly error: string
  /** The server's `error_description`, shortened, without control characters and without anything that was sent as a secret. */
  readonly errorDescription: string | undefined
  /** The server's `error_uri`, treated likewise. */
  readonly errorUri: string | undefined
  /** HTTP status of the answer. */
  readonly status: number
  /** Milliseconds since the epoch before which the server does not want to be asked again (`Retry-After`). */
  readonly retryAt: number | undefined
  /** How far the server's `Date` is ahead of this machine's clock, in milliseconds, where that may be the reason. */
  readonly clockSkewMs: number | undefined

  constructor(message: string, details: TokenEndpointErrorDetails) {
    super(message, details)
    this.retryable = details.retryable
    this.error = details.error
    this.errorDescription = details.errorDescription
    this.errorUri = details.errorUri
    this.status = details.status
    this.retryAt = details.retryAt
    this.clockSkewMs = details.clockSkewMs
  }
}

/** What a {@link TokenResponseError} tells beside its code. */
export interface TokenResponseErrorDetails extends ErrorDetails {
  readonly status?: number | undefined
  readonly retryable?: boolean | undefined
  readonly missingScope?: string | undefined
}

/** The server's operator has to act: the answer breaks the protocol, or grants less than was asked for. */
export class TokenResponseError extends EvertokenError {
  override readonly name: string = 'TokenResponseError'
  readonly retryable: boolean
  /** HTTP status of the answer, where there was one. */
  readonly status: number | undefined
  /** The scope values that were asked for and not granted (code `insufficient_granted_scope`). */
  readonly missingScope: string | undefined

  constructor(message: string, details: TokenResponseErrorDetails) {
    super(message, details)
    this.retryable = details.retryable ?? false
    this.status = details.status
    this.missingScope = details.missingScope
  }
}

/** What a {@link TransportError} tells beside its code. */
export interface TransportErrorDetails extends ErrorDetails {
  readonly retryable: boolean
  readonly ambiguous?: boolean
}

/** The network has to recover: no answer, or too late. */
export class TransportError extends EvertokenError {
  override readonly name: string = 'TransportError'
  readonly retryable: boolean
  /** Whether the server may have acted on the request although no answer came. */
  readonly ambiguous: boolean

  constructor(message: string, details: TransportErrorDetails) {
    super(message, details)
    this.retryable = details.retryable
    this.ambiguous = details.ambiguous ?? false
  }
}

/** What a {@link SessionError} tells beside its code. */
export interface SessionErrorDetails extends ErrorDetails {
  readonly reason: SessionEnd
}

/** The user has to sign in again. */
export class SessionError extends EvertokenError {
  override readonly name: string = 'SessionError'
  readonly retryable: boolean = false
  /** Why the session does not carry on. */
  readonly reason: SessionEnd

  constructor(message: string, details: SessionErrorDetails) {
    super(message, details)
    this.reason = details.reason
  }
}

/** The operator of the store has to act, only where the store is the truth. */
export class StoreError extends EvertokenError {
  override readonly name: string = 'StoreError'
  readonly retryable: boolean = true
}

/** What a {@link ChallengeError} tells beside its code. */
export interface ChallengeErrorDetails extends ErrorDetails {
  readonly status: number
  readonly errorDescription?: string | undefined
  readonly scope?: string | undefined
  readonly acrValues?: string | undefined
  readonly maxAge?: number | undefined
}

/** The caller has to ask for more: a resource server refused a token that is valid but does not reach far enough. */
export class ChallengeError extends EvertokenError {
  override readonly name: string = 'ChallengeError'
  readonly retryable: boolean = false
  /** HTTP status of the resource server's answer. */
  readonly status: number
  /** The resource server's `error_description`, shortened and without control characters. */
  readonly errorDescription: string | undefined
  /** The scope that the request needs (RFC 6750 section 3). */
  readonly scope: string | undefined
  /** The authentication context that the request needs, `acr_values` (RFC 9470 section 3). */
  readonly acrValues: string | undefined
  /** How old the user's authentication may be, in seconds, `max_age` (RFC 9470 section 3). */
  readonly maxAge: number | undefined

  constructor(message: string, details: ChallengeErrorDetails) {
    super(message, details)
    this.status = details.status
    this.errorDescription = details.errorDescription
    this.scope = details.scope
    this.acrValues = details.acrValues
    this.maxAge = details.maxAge
  }
}

/** Any error that this package throws, aborts excepted. */
export type AnyEvertokenError =
  | ConfigurationError
  | TokenEndpointError
  | TokenResponseError
  | TransportError
  | SessionError
  | StoreError
  | ChallengeError

/** Whether an error comes from this package, from whichever copy of it. */
export function isEvertokenError(error: unknown): error is AnyEvertokenError {
  return error instanceof Error && brand in error
}

/** An equal error for another caller, so that nobody's changes to one reach the other. Other errors pass through. */
export function copyError(error: unknown): unknown {
  if (!isEvertokenError(error)) return error
  // Every class takes its message and its own fields, and gets nothing else from outside.
  const Class = error.constructor as new (message: string, details: ErrorDetails) => Error
  return new Class(error.message, error)
}
