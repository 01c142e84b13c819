import type { AuthenticationAnswer } from './client-authentication.ts'

/** Whether it is the client that the server refuses (RFC 6749 section 5.2; draft-ietf-oauth-attestation-based-client-auth section 7.4). */
export function isClientRefusal(error: string | undefined): boolean {
  return error === 'invalid_client' || error === 'invalid_client_attestation'
}

/** What servers say about an assertion that comes too early or too late. */
const TOO_EARLY_OR_LATE = /not yet valid|expired|time range|\b(?:iat|nbf|exp)\b|in the future|clock|too old|not active/i
const SECRET = /secret/i

/**
 * Whether the server may have refused an assertion for its dates: it says so, or its clock tells another time than the one that
 * the assertion was dated with.
 */
export function isDatedRefusal({ error, errorDescription = '', isRedated = false }: AuthenticationAnswer): boolean {
  if (!isClientRefusal(error)) return false
  // A client secret that has expired is no question of clocks.
  return isRedated || (TOO_EARLY_OR_LATE.test(errorDescription) && !SECRET.test(errorDescription))
}
