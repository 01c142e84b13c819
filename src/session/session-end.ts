import { type SessionEnd, SessionError } from '../token/index.ts'

export type { SessionEnd } from '../token/index.ts'

const TEXTS: Readonly<Record<SessionEnd, string>> = {
  no_session: 'expected a session, got none',
  session_expired: 'expected a session, got one that the server wanted to be over by now',
  no_refresh_token: 'expected an access token that lives or a refresh token, got neither',
  refresh_token_expired: 'expected a refresh token that lives, got one that has expired',
  refresh_token_rejected: 'expected the refresh token to be taken, got invalid_grant',
  refresh_token_lost: 'expected the answer to a refresh, got none before the refresh token was dead',
  refresh_doubtful: 'expected the refresh to be taken, got invalid_request',
  dpop_key_lost: 'expected the key that the refresh token is bound to, got none',
  revoked: 'expected a refresh token, got one that was revoked',
  signed_out: 'expected a session, got one that was signed out',
  superseded: 'expected the session to take a new sign-in, got a newer one or a logout',
}

/** What a caller gets whose user has to sign in again. */
export function sessionEnded(clientName: string, reason: SessionEnd, cause?: unknown): SessionError {
  const message = `client "${clientName}": ${TEXTS[reason]}`
  if (reason === 'no_session') return new SessionError(message, { code: 'no_session', reason, cause })
  if (reason === 'signed_out') return new SessionError(message, { code: 'signed_out', reason, cause })
  return new SessionError(message, { code: 'sign_in_required', reason, cause })
}
