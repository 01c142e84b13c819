import { TokenEndpointError, TokenResponseError, TransportError } from '../../token/index.ts'

/**
 * What a failed refresh says of the refresh token. `rejected`: it is dead (RFC 6749 section 5.2). `doubtful`: some servers say so of a dead one; the user has to
 * sign in, and nothing is deleted. `ambiguous`: the server may have spent it, and its answer got lost. `unspent`: it is as good as it was.
 */
export type RefreshFailure = 'rejected' | 'doubtful' | 'ambiguous' | 'unspent'

/** An answer of a machine between here and the server: whether the request got there, nobody knows. */
const OF_GATEWAYS: ReadonlySet<number> = new Set([502, 504])

/** Reads an error of a refresh. */
export function refreshFailure(error: unknown): RefreshFailure {
  if (error instanceof TransportError) return error.ambiguous ? 'ambiguous' : 'unspent'
  // An answer that said yes and cannot be read may have been a gateway's or the server's.
  if (error instanceof TokenResponseError) return isUnreadable(error) ? 'ambiguous' : 'unspent'
  if (!(error instanceof TokenEndpointError)) return 'unspent'
  if (error.error === 'invalid_grant') return 'rejected'
  if (error.error === 'invalid_request') return 'doubtful'
  return OF_GATEWAYS.has(error.status) ? 'ambiguous' : 'unspent'
}

function isUnreadable({ code, status }: TokenResponseError): boolean {
  return code === 'token_response_invalid' || (code === 'response_not_json' && status === 200)
}

const OF_REQUESTS: ReadonlySet<string> = new Set(['invalid_scope', 'invalid_target'])

/** Whether a failure says something of what was asked for, and nothing of the session or the server. */
export function isOfRequest(error: unknown): boolean {
  if (error instanceof TokenEndpointError) return OF_REQUESTS.has(error.error)
  return error instanceof TokenResponseError && error.code === 'insufficient_granted_scope'
}
