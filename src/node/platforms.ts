import { type AssertionSource, type ClientAuthentication, clientAssertion, JWT_BEARER } from '../oauth/index.ts'
import { ConfigurationError } from '../token/index.ts'
import { systemClock } from '../util/index.ts'
import { assertAlive, assertionFromFile, JWT_SPIFFE, type PlatformAssertion } from './assertion-from-file.ts'
import { assertionFromUrl } from './assertion-from-url.ts'

/** Where a pod finds the token that Kubernetes keeps for it. */
export interface KubernetesServiceAccountOptions {
  /** Path of the projected token. Default `/var/run/secrets/tokens/evertoken`. */
  readonly path?: string | undefined
}

/**
 * The service account token that Kubernetes projects into a pod, as a client assertion. The volume's `audience` is the issuer of the
 * authorization server.
 */
export function kubernetesServiceAccount({
  path = '/var/run/secrets/tokens/evertoken',
}: KubernetesServiceAccountOptions = {}): PlatformAssertion {
  return assertionFromFile(path)
}

/** A JWT-SVID that a SPIFFE agent keeps in a file, as a client assertion (draft-ietf-oauth-spiffe-client-auth). */
export function spiffeJwtSvid(path: string): PlatformAssertion {
  return assertionFromFile(path, { type: JWT_SPIFFE })
}

/** Whom the ID token of a workflow is addressed to. */
export interface GitHubActionsOptions {
  /** `aud`. Default: the issuer of the server that is asked. */
  readonly audience?: string | undefined
}

/**
 * The OpenID Connect token of a GitHub Actions job that has the permission `id-token: write`, as a client assertion. A new one for every
 * attempt.
 *
 * The function throws ConfigurationError with code `environment_missing` outside such a job.
 */
export function githubActions({ audience }: GitHubActionsOptions = {}): AssertionSource {
  return ({ issuer, tokenEndpoint, ...moment }) => {
    const url = new URL(environment('githubActions', 'ACTIONS_ID_TOKEN_REQUEST_URL'))
    const authorization = `Bearer ${environment('githubActions', 'ACTIONS_ID_TOKEN_REQUEST_TOKEN')}`
    url.searchParams.set('audience', audience ?? issuer ?? tokenEndpoint.href)
    return assertionFromUrl(url, { headers: { authorization } })(moment)
  }
}

/**
 * The ID token of a GitLab CI job (`id_tokens` in `.gitlab-ci.yml`), as a client assertion.
 *
 * The function throws ConfigurationError with code `environment_missing` or `assertion_expired`.
 */
export function gitlabCi(variable: string): PlatformAssertion {
  return async ({ clock = systemClock } = {}) => {
    const value = environment('gitlabCi', variable)
    assertAlive(value, { subject: `gitlabCi: expected ${variable} to hold`, clock })
    return { type: JWT_BEARER, value }
  }
}

/** What Azure workload identity says about a client; to be spread into its definition. */
export interface AzureClient {
  readonly issuer: string
  readonly clientId: string
  readonly authentication: ClientAuthentication
}

/**
 * A workload of Azure Kubernetes Service with workload identity: issuer, client id and assertion out of the environment that the webhook
 * sets (`AZURE_AUTHORITY_HOST`, `AZURE_TENANT_ID`, `AZURE_CLIENT_ID`, `AZURE_FEDERATED_TOKEN_FILE`).
 *
 * @throws ConfigurationError with code `environment_missing` that names the variable.
 */
export function azureWorkloadIdentity(): AzureClient {
  const subject = 'azureWorkloadIdentity'
  const authority = process.env.AZURE_AUTHORITY_HOST || 'https://login.microsoftonline.com/'
  return {
    issuer: new URL(`${environment(subject, 'AZURE_TENANT_ID')}/v2.0`, authority).href,
    clientId: environment(subject, 'AZURE_CLIENT_ID'),
    authentication: clientAssertion(assertionFromFile(environment(subject, 'AZURE_FEDERATED_TOKEN_FILE'))),
  }
}

function environment(subject: string, variable: string): string {
  const value = process.env[variable]
  if (value !== undefined && value !== '') return value
  throw new ConfigurationError(`${subject}: expected the environment variable ${variable}, got none`, {
    code: 'environment_missing',
  })
}
