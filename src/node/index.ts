export {
  type AssertionFromFileOptions,
  type AssertionMoment,
  assertionFromFile,
  type PlatformAssertion,
} from './assertion-from-file.ts'
export { type AssertionFromUrlOptions, assertionFromUrl, type HeaderValues } from './assertion-from-url.ts'
export { type NodeKey, type NodeSignerOptions, nodeSigner } from './node-signer.ts'
export {
  type AzureClient,
  azureWorkloadIdentity,
  type GitHubActionsOptions,
  githubActions,
  gitlabCi,
  type KubernetesServiceAccountOptions,
  kubernetesServiceAccount,
  spiffeJwtSvid,
} from './platforms.ts'
export { type FilePermissions, readSecretFileSync, type SecretFileOptions } from './secret-file.ts'
export { type SecretFromFileOptions, secretFromFile } from './secret-from-file.ts'
export { type SignerFromFileOptions, signerFromFile } from './signer-from-file.ts'
