import { SessionError } from '../token/index.ts'

/** What a user has to sign in again for. */
export type SessionEnd =
  /** There is no such session, or none any more. */
  | 'no_session'
  /** The server said how long the session may last (`session_expiry`), and that is over. */
  | 'session_expired'
  /** The access token has expired, and there never was a refresh token. */
  | 'no_refresh_token'
  /** The refresh token is older than the server said it would become. */
  | 'refresh_token_expired'
  /** The server does not take the refresh token any more (`invalid_grant`). */
  | 'refresh_token_rejected'
  /** The refresh token was spent, and the answer got lost on its way here. */
  | 'refresh_token_lost'
  /** The server refuses the refresh with `invalid_request`, which some say of a dead refresh token. Nothing was deleted. */
  | 'refresh_doubtful'
  /** The application had the server take back the refresh token. */
  | 'revoked'
  | 'signed_out'
  /** The user has logged out at the server, which has said so (OpenID Connect Back-Channel Logout). */
  | 'back_channel_logout'

const TEXTS: Readonly<Record<SessionEnd, string>> = {
  no_session: 'expected a session, got none',
  session_expired: 'expected a session, got one that the server wanted to be over by now',
  no_refresh_token: 'expected an access token that lives or a refresh token, got neither',
  refresh_token_expired: 'expected a refresh token that lives, got one that has expired',
  refresh_token_rejected: 'expected the refresh token to be taken, got invalid_grant',
  refresh_token_lost: 'expected the answer to a refresh, got none before the refresh token was dead',
  refresh_doubtful: 'expected the refresh to be taken, got invalid_request',
  revoked: 'expected a refresh token, got one that was revoked',
  signed_out: 'expected a session, got one that was signed out',
  back_channel_logout: 'expected a session, got one whose user has logged out at the server',
}

/** What a caller gets whose user has to sign in again. */
export function sessionEnded(clientName: string, reason: SessionEnd, cause?: unknown): SessionError {
  const message = `client "${clientName}": ${TEXTS[reason]}`
  if (reason === 'no_session') return new SessionError(message, { code: 'no_session', reason, cause })
  if (reason === 'signed_out') return new SessionError(message, { code: 'signed_out', reason, cause })
  return new SessionError(message, { code: 'sign_in_required', reason, cause })
}
