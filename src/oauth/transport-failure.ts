import { isEvertokenError, TransportError } from '../token/index.ts'

/** What a failure of the network is called. */
type FailureCode = 'unreachable' | 'dns' | 'tls' | 'connection_lost' | 'timeout' | 'network'

interface FailureKind {
  readonly code: FailureCode
  readonly retryable: boolean
  /** Whether the request may have reached the server. */
  readonly ambiguous: boolean
}

const LOST: FailureKind = { code: 'connection_lost', retryable: true, ambiguous: true }
const UNREACHABLE: FailureKind = { code: 'unreachable', retryable: true, ambiguous: false }
const DNS: FailureKind = { code: 'dns', retryable: true, ambiguous: false }
const TIMEOUT: FailureKind = { code: 'timeout', retryable: true, ambiguous: true }
const TLS: FailureKind = { code: 'tls', retryable: false, ambiguous: false }
const OTHER: FailureKind = { code: 'network', retryable: true, ambiguous: true }

/** Codes of Node and of undici, by what they mean. */
const KINDS: Readonly<Record<string, FailureKind>> = {
  ECONNREFUSED: UNREACHABLE,
  EHOSTUNREACH: UNREACHABLE,
  ENETUNREACH: UNREACHABLE,
  ENOTFOUND: DNS,
  EAI_AGAIN: DNS,
  EAI_FAIL: DNS,
  ECONNRESET: LOST,
  EPIPE: LOST,
  UND_ERR_SOCKET: LOST,
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: LOST,
  ETIMEDOUT: TIMEOUT,
  UND_ERR_CONNECT_TIMEOUT: { ...TIMEOUT, ambiguous: false },
  UND_ERR_HEADERS_TIMEOUT: TIMEOUT,
  UND_ERR_BODY_TIMEOUT: TIMEOUT,
}
const TLS_CODE = /^(?:ERR_TLS|ERR_SSL|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_|HOSTNAME_MISMATCH|INVALID_CA|EPROTO)/
/** A chain of causes is not followed further than this. */
const MAX_CAUSES = 8

/** Names what kept an answer from coming; errors that are ours already pass through. */
export function transportFailure(cause: unknown, endpoint: string): Error {
  if (isEvertokenError(cause)) return cause
  const { code, retryable, ambiguous } = kindOf(cause)
  const detail = [...codesOf(cause)].at(-1)
  return new TransportError(`expected an answer from ${endpoint}, got ${code}${detail ? ` (${detail})` : ''}`, {
    code,
    retryable,
    ambiguous,
    cause: bare(cause),
  })
}

function kindOf(error: unknown): FailureKind {
  for (const code of codesOf(error)) {
    const kind = KINDS[code] ?? (TLS_CODE.test(code) ? TLS : undefined)
    if (kind !== undefined) return kind
  }
  return OTHER
}

/**
 * The same chain of causes with name, message and code, and nothing else. Errors of clients and parsers keep more: the request
 * with its secrets, or the bytes that came, in which a server may have quoted them.
 */
function bare(error: unknown, depth = 0): unknown {
  if (!(error instanceof Error) || depth > MAX_CAUSES) return undefined
  const cause = bare(error.cause, depth + 1)
  const shown: Error & { code?: unknown } = new Error(error.message, cause === undefined ? undefined : { cause })
  Object.defineProperty(shown, 'name', { value: error.name })
  if ('code' in error && typeof error.code === 'string') shown.code = error.code
  return shown
}

/** `code` of an error and of its causes, outermost first; of a failed happy-eyeballs connect, of its parts too. */
function* codesOf(error: unknown, depth = 0): Generator<string> {
  if (typeof error !== 'object' || error === null || depth > MAX_CAUSES) return
  if ('code' in error && typeof error.code === 'string') yield error.code
  if ('errors' in error && Array.isArray(error.errors)) yield* codesOf(error.errors[0], depth + 1)
  if ('cause' in error) yield* codesOf(error.cause, depth + 1)
}
