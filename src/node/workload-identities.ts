import {
  type AssertionSource,
  type ClientAuthentication,
  clientAssertion,
  type Fetch,
  JWT_BEARER,
} from '../oauth/index.ts'
import { ConfigurationError } from '../token/index.ts'
import { type Clock, systemClock } from '../util/index.ts'
import { checkedAssertion, JWT_SPIFFE } from './assertion-check.ts'
import { type AssertionFileOptions, assertionFromFile } from './assertion-from-file.ts'
import { assertionFromUrl } from './assertion-from-url.ts'

/** Environment variables, by name. */
export type Environment = Readonly<Record<string, string | undefined>>

/** What {@link kubernetesServiceAccount} can be told. */
export interface KubernetesOptions extends Omit<AssertionFileOptions, 'type'> {
  /** Where the token is projected to. Default `/var/run/secrets/tokens/evertoken`. */
  readonly path?: string | undefined
}

/**
 * The service account token that Kubernetes projects into a pod, with the authorization server as its audience. The token that
 * every pod has at `/var/run/secrets/kubernetes.io/serviceaccount/token` is for the cluster's own API, and never for others.
 */
export function kubernetesServiceAccount(options: KubernetesOptions = {}): AssertionSource {
  const { path = '/var/run/secrets/tokens/evertoken', ...rest } = options
  return assertionFromFile(path, rest)
}

/** What {@link githubActions} can be told. */
export interface GithubActionsOptions {
  /** `aud` of the token. Default: the issuer of the authorization server that is asked. */
  readonly audience?: string | undefined
  /** Default `process.env`, read at each use. */
  readonly env?: Environment | undefined
  readonly fetch?: Fetch | undefined
  readonly clock?: Clock | undefined
}

/**
 * The OpenID Connect token of a GitHub Actions job that has the permission `id-token: write`; a fresh one for every attempt.
 *
 * @throws ConfigurationError at use: code `environment_incomplete` outside such a job, `assertion_options_invalid` without issuer and
 * audience, and the codes of {@link assertionFromUrl}.
 */
export function githubActions(options: GithubActionsOptions = {}): AssertionSource {
  const { audience, env = process.env, fetch, clock } = options
  return assertionFromUrl(() => required(env, 'ACTIONS_ID_TOKEN_REQUEST_URL'), {
    headers: () => ({
      accept: 'application/json',
      authorization: `Bearer ${required(env, 'ACTIONS_ID_TOKEN_REQUEST_TOKEN')}`,
    }),
    query: ({ issuer }) => ({ audience: audience ?? issuer ?? noAudience() }),
    fetch,
    clock,
  })
}

/**
 * The ID token that GitLab CI puts into the environment variable which the job names under `id_tokens`.
 *
 * @throws ConfigurationError with code `environment_incomplete`, `client_assertion_invalid` or `assertion_expired`, at use.
 */
export function gitlabCi(
  variable: string,
  options: { readonly env?: Environment | undefined; readonly clock?: Clock | undefined } = {},
): AssertionSource {
  const { env = process.env } = options
  return async ({ clock = systemClock } = {}) => {
    const origin = { subject: `environment variable ${variable}`, type: JWT_BEARER, clock: options.clock ?? clock }
    return checkedAssertion(required(env, variable).trim(), origin).assertion
  }
}

/**
 * The JWT-SVID that a SPIFFE helper keeps in a file (draft-ietf-oauth-spiffe-client-auth), sent as
 * `urn:ietf:params:oauth:client-assertion-type:jwt-spiffe`.
 */
export function spiffeJwtSvid(path: string, options: Omit<AssertionFileOptions, 'type'> = {}): AssertionSource {
  return assertionFromFile(path, { ...options, type: JWT_SPIFFE })
}

/** What a client definition needs to be an Azure workload identity. */
export interface AzureWorkloadIdentity {
  readonly issuer: string
  readonly clientId: string
  readonly authentication: ClientAuthentication
}

const AZURE_PUBLIC_CLOUD = 'https://login.microsoftonline.com/'

/**
 * The identity that the Azure workload identity webhook gives a pod, to spread into a client definition: tenant, client id and token
 * file from the environment.
 *
 * @throws ConfigurationError with code `environment_incomplete`, which names the variable.
 */
export function azureWorkloadIdentity(env: Environment = process.env): AzureWorkloadIdentity {
  const tenant = required(env, 'AZURE_TENANT_ID')
  const host = env.AZURE_AUTHORITY_HOST || AZURE_PUBLIC_CLOUD
  return {
    issuer: `${host.replace(/\/+$/, '')}/${encodeURIComponent(tenant)}/v2.0`,
    clientId: required(env, 'AZURE_CLIENT_ID'),
    authentication: clientAssertion(assertionFromFile(required(env, 'AZURE_FEDERATED_TOKEN_FILE'))),
  }
}

function required(env: Environment, name: string): string {
  const value = env[name]
  if (value !== undefined && value !== '') return value
  throw new ConfigurationError(
    `environment: expected ${name} to be set, got ${value === '' ? 'an empty one' : 'none'}`,
    {
      code: 'environment_incomplete',
    },
  )
}

function noAudience(): never {
  throw new ConfigurationError(
    'githubActions: expected an audience, or an issuer to address the token to, got neither',
    {
      code: 'assertion_options_invalid',
    },
  )
}
