export type { AssertionOptions } from './assertion-claims.ts'
export { addAssertion, assertClientAssertion, clientAssertion, JWT_BEARER } from './client-assertion.ts'
export type {
  ClientAuthentication,
  ClientAuthenticationOptions,
  ClientIdentity,
  TokenEndpointDraft,
} from './client-authentication.ts'
export type { ClientCertificate } from './client-certificate.ts'
export { type ClientSecretBasicOptions, clientSecretBasic, clientSecretPost, none } from './client-secret.ts'
export { type ClientSecretJwtOptions, clientSecretJwt } from './client-secret-jwt.ts'
export { type PrivateKeyJwtOptions, privateKeyJwt } from './private-key-jwt.ts'
