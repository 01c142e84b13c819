export { type AuthorizationServer, configuredServer, discoveredServer } from './authorization-server.ts'
export { type BackChannel, createBackChannel, type Fetch } from './back-channel.ts'
export {
  type AssertionOptions,
  addAssertion,
  assertClientAssertion,
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
  type TokenEndpointDraft,
} from './client-authentication/index.ts'
export { requestToken, revokeToken } from './endpoints.ts'
export { guardedChannel } from './guarded-channel.ts'
export type { OAuthClient } from './oauth-client.ts'
export { assertEndpoint, assertParameters, assertResource, assertScope } from './parameters.ts'
export { presentable, secretForms } from './redaction.ts'
export type { RevocationRequest } from './revocation.ts'
export { configuredMetadata, type ServerMetadata } from './server-metadata.ts'
export type { TokenEndpointRequest } from './token-endpoint.ts'
export { LIFETIME_LIMITS, type TokenLifetimeLimits } from './token-lifetime.ts'
export type { TokenResponse } from './token-response.ts'
