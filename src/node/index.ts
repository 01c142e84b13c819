export { type AssertionFileOptions, assertionFromFile } from './assertion-from-file.ts'
export { type AssertionQuery, type AssertionUrlOptions, assertionFromUrl } from './assertion-from-url.ts'
export type { CertificateExtras, ClientCertificateSource } from './certificate-source.ts'
export { type ClientCertificateOptions, clientCertificate, type NodeClientCertificate } from './client-certificate.ts'
export { type FileLockOptions, fileLock } from './file-lock.ts'
export { type NodeSignerOptions, nodeSigner } from './node-signer.ts'
export { type Pkcs11Signer, type Pkcs11SignerOptions, pkcs11Signer } from './pkcs11-signer.ts'
export type { NodeKey } from './read-private-key.ts'
export type { SecretFileOptions } from './secret-file-rules.ts'
export { secretFromFile } from './secret-from-file.ts'
export { type SignerFromFileOptions, signerFromFile } from './signer-from-file.ts'
export {
  type AzureWorkloadIdentity,
  azureWorkloadIdentity,
  type Environment,
  type GithubActionsOptions,
  githubActions,
  gitlabCi,
  type KubernetesOptions,
  kubernetesServiceAccount,
  spiffeJwtSvid,
} from './workload-identities.ts'
