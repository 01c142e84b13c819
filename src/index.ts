export type {
  ClientAssertionContext,
  ClientAssertionService,
  ClientDefinition,
  ClientDefinitions,
  LifetimeOptions,
  OutgoingRequest,
  RequestCustomizer,
  RequestFor,
  TokenManagerOptions,
} from './client/index.ts'
export {
  type AuthorizedFetch,
  type AuthorizedFetchInit,
  type AuthorizedFetchOptions,
  authorizedFetch,
  type Body,
  type BodySource,
} from './fetch/index.ts'
export type { KeyOptions, PrivateKey, Signer } from './keys/index.ts'
export {
  type AssertionOptions,
  type ClientAuthentication,
  type ClientAuthenticationOptions,
  type ClientCertificate,
  type ClientIdentity,
  type ClientSecretBasicOptions,
  type ClientSecretJwtOptions,
  clientAssertion,
  clientSecretBasic,
  clientSecretJwt,
  clientSecretPost,
  type Fetch,
  none,
  type PrivateKeyJwtOptions,
  privateKeyJwt,
  type TokenEndpointDraft,
} from './oauth/index.ts'
export {
  type Attempt,
  authorizerFrom,
  type Destination,
  type RequestAuthorizer,
  type RequestTarget,
  type ResponseHead,
} from './resource/index.ts'
export {
  type CachedSourceOptions,
  cachedSource,
  chainSource,
  observedSource,
  type RenewalWindows,
  staticSource,
} from './source/index.ts'
export { type MemoryStoreOptions, memoryStore, type TokenStore } from './store/index.ts'
export type { Operation, Outcome, Telemetry, TelemetryEvent } from './telemetry/index.ts'
export {
  type AccessToken,
  type AnyEvertokenError,
  ChallengeError,
  type ChallengeErrorDetails,
  type ClientAssertion,
  ConfigurationError,
  createAccessToken,
  type ErrorDetails,
  type GetTokenOptions,
  isEvertokenError,
  SessionError,
  type SessionErrorDetails,
  StoreError,
  TokenEndpointError,
  type TokenEndpointErrorDetails,
  type TokenRequest,
  TokenResponseError,
  type TokenResponseErrorDetails,
  type TokenSource,
  type TokenType,
  TransportError,
  type TransportErrorDetails,
} from './token/index.ts'
export { createTokenManager, type TokenManager } from './token-manager.ts'
export type { Awaitable, Clock, Resolvable } from './util/index.ts'
