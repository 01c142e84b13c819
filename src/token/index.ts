export {
  type AccessToken,
  createAccessToken,
  isHeaderReady,
  isSameToken,
  isTokenText,
  MAX_TOKEN_LENGTH,
  type TokenType,
} from './access-token.ts'
export {
  type AnyEvertokenError,
  ChallengeError,
  type ChallengeErrorDetails,
  ConfigurationError,
  copyError,
  type ErrorDetails,
  isEvertokenError,
  SessionError,
  type SessionErrorDetails,
  StoreError,
  TokenEndpointError,
  type TokenEndpointErrorDetails,
  TokenResponseError,
  type TokenResponseErrorDetails,
  TransportError,
  type TransportErrorDetails,
} from './errors.ts'
export { assertCount, assertMethods, assertOptions, optionInvalid } from './options.ts'
export type { SessionEnd } from './session-end.ts'
export type { ClientAssertion, TokenRequest } from './token-request.ts'
export type { GetTokenOptions, TokenSource } from './token-source.ts'
