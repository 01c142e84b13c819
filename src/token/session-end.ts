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
  /** The key that the refresh token is bound to is gone (RFC 9449 section 5). Nothing was deleted. */
  | 'dpop_key_lost'
  /** The application had the server take back the refresh token. */
  | 'revoked'
  | 'signed_out'
  /** Another sign-in, or a logout at the server, has come before this one was kept. */
  | 'superseded'
