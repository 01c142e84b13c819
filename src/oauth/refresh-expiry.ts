/**
 * When a refresh token expires, as far as the server says so. There is no standard for it yet: Keycloak says `refresh_expires_in`, GitHub and others
 * `refresh_token_expires_in`, draft-ietf-oauth-refresh-token-expiration `refresh_token_timeout` and, for the grant as a whole, `authorization_expires_in`.
 */
const MEMBERS = ['refresh_token_timeout', 'refresh_token_expires_in', 'refresh_expires_in', 'authorization_expires_in']

/** The earliest of the instants that an answer names, in milliseconds since the epoch. Zero and what is no number say nothing. */
export function refreshExpiryFrom(json: Readonly<Record<string, unknown>>, sentAt: number): number | undefined {
  const seconds = MEMBERS.map((name) => Number(json[name] ?? Number.NaN)).filter((value) => value > 0 && value < 1e11)
  return seconds.length === 0 ? undefined : sentAt + Math.min(...seconds) * 1000
}
