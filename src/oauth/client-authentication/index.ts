export type { AssertionOptions } from './assertion-claims.ts'
export {
  type AttestJwtClientAuthOptions,
  attestJwtClientAuth,
  type ClientAttestationRequest,
  type ClientAttester,
} from './attestation.ts'
export {
  type AssertionContext,
  type AssertionSource,
  addAssertion,
  assertClientAssertion,
  clientAssertion,
  JWT_BEARER,
} from './client-assertion.ts'
export type {
  AuthenticationAnswer,
  AuthenticationAttempt,
  ClientAuthentication,
  ClientAuthenticationOptions,
  ClientIdentity,
  TokenEndpointDraft,
} from './client-authentication.ts'
export type { ClientCertificate } from './client-certificate.ts'
export { type ClientSecretBasicOptions, clientSecretBasic, clientSecretPost, none } from './client-secret.ts'
export { type ClientSecretJwtOptions, clientSecretJwt } from './client-secret-jwt.ts'
export { isClientRefusal } from './dated-refusal.ts'
export { type PrivateKeyJwtOptions, privateKeyJwt } from './private-key-jwt.ts'
export { selfSignedTlsClientAuth, tlsClientAuth } from './tls-client-auth.ts'
