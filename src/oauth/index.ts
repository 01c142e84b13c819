export { type AuthorizationServer, configuredServer, discoveredServer } from './authorization-server.ts'
export { type BackChannel, createBackChannel, type Fetch } from './back-channel.ts'
export {
  type AssertionContext,
  type AssertionOptions,
  type AssertionSource,
  type AttestJwtClientAuthOptions,
  type AuthenticationAnswer,
  type AuthenticationAttempt,
  addAssertion,
  assertClientAssertion,
  attestJwtClientAuth,
  type ClientAttestationRequest,
  type ClientAttester,
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
  JWT_BEARER,
  none,
  type PrivateKeyJwtOptions,
  privateKeyJwt,
  selfSignedTlsClientAuth,
  type TokenEndpointDraft,
  tlsClientAuth,
} from './client-authentication/index.ts'
export { requestToken, revokeToken } from './endpoints.ts'
export { guardedChannel } from './guarded-channel.ts'
export { idTokenClaims, idTokenFault, idTokenMismatch, sessionExpiryIn } from './id-token.ts'
export type { OAuthClient } from './oauth-client.ts'
export { assertEndpoint, assertParameters, assertResource, assertScope } from './parameters.ts'
export type { ProofOfPossession } from './proof-of-possession.ts'
export { createPublishedKeys, type PublishedKeys } from './published-keys.ts'
export { presentable, secretForms } from './redaction.ts'
export { refreshExpiryFrom } from './refresh-expiry.ts'
export type { RevocationRequest } from './revocation.ts'
export { configuredMetadata, type ServerMetadata } from './server-metadata.ts'
export type { TokenEndpointRequest } from './token-endpoint.ts'
export { LIFETIME_LIMITS, lifetimeFrom, type TokenLifetimeLimits } from './token-lifetime.ts'
export type { TokenResponse } from './token-response.ts'
export { transportFailure } from './transport-failure.ts'
export { watchCertificate } from './watched-certificate.ts'
