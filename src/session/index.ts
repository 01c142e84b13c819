export type { ClientAssertionContext, ClientAssertionService, OutgoingRequest } from '../client/index.ts'
export type { CookieKey } from './cookies/cookie-keys.ts'
export type { CarriedSession } from './cookies/cookie-session.ts'
export { type CookieSessions, type CookieSessionsOptions, cookieSessions } from './cookies/cookie-sessions.ts'
export type { ClaimsChange, ClaimsTransform } from './login/claims.ts'
export type { LoginResponse } from './login/login-response.ts'
export {
  type BackChannelLogout,
  type BackChannelLogoutOptions,
  backChannelLogout,
} from './logout/back-channel-logout.ts'
export type { EndableSessions, Logout } from './logout/logout.ts'
export type { CustomizableRequest, UserRequestCustomizer } from './request-customizer.ts'
export type { SessionEnd } from './session-end.ts'
export type { SessionTokens } from './session-tokens.ts'
export { type StoredSessions, type StoredSessionsOptions, storedSessions } from './stored/stored-sessions.ts'
export type { Subject, SubjectSessions } from './subject-sessions.ts'
export { createTokenSet, type TokenSet, type UserAccessToken } from './token-set/token-set.ts'
export { tokenSetFrom, tokenSetText } from './token-set/token-set-text.ts'
export {
  createUserTokenManager,
  type UserTokenManager,
  type UserTokenManagerOptions,
} from './user-token-manager.ts'
export type { UserState, UserTokens } from './user-tokens.ts'
