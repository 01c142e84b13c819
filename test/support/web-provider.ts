import { createHash, randomBytes } from 'node:crypto'
import type { ClientMetadata } from 'oidc-provider'
import type { AuthorizationServer, AuthorizationServerOptions } from '../../demo/authorization-server.ts'
import { testKey } from './keys.ts'

export const REDIRECT_URI = 'https://client.example/callback'
/** Proves itself with `private_key_jwt` and the key `testKey('ES256')`. */
export const CONFIDENTIAL = 'confidential'
/** Has nothing but its DPoP key. */
export const PUBLIC = 'public'

/** How the provider deals with nonces (RFC 9449 section 8). */
export type NonceRule = 'required' | 'offered' | 'none'

/** Starts a provider with clients that users sign in to, and whose grants may be bound to DPoP keys. */
export async function startWebProvider(
  startProvider: (options: AuthorizationServerOptions) => Promise<AuthorizationServer>,
  nonces: NonceRule,
): Promise<AuthorizationServer> {
  const { publicJwk } = await testKey('ES256')
  const settings = {
    scopes: ['openid', 'offline_access', 'read'],
    findAccount: (_context: unknown, accountId: string) => ({ accountId, claims: () => ({ sub: accountId }) }),
    interactions: { url: (_context: unknown, { uid }: { uid: string }) => `/interaction/${uid}` },
    loadExistingGrant: grantEverything,
    issueRefreshToken: () => true,
    // By itself it does that for public clients whose tokens are bound to no key.
    rotateRefreshToken: true,
    ttl: {
      AccessToken: 600,
      AuthorizationCode: 60,
      Grant: 600,
      IdToken: 600,
      Interaction: 600,
      RefreshToken: 600,
      Session: 600,
    },
    features: {
      pushedAuthorizationRequests: { enabled: true },
      resourceIndicators: { enabled: false },
      dPoP: {
        enabled: true,
        ...(nonces !== 'none' && { nonceSecret: randomBytes(32) }),
        requireNonce: () => nonces === 'required',
      },
    },
  }
  return startProvider({
    clients: [
      webClient({
        client_id: CONFIDENTIAL,
        token_endpoint_auth_method: 'private_key_jwt',
        jwks: { keys: [publicJwk] },
      }),
      webClient({ client_id: PUBLIC, token_endpoint_auth_method: 'none' }),
    ],
    resources: {},
    settings: settings as never,
  })
}

function webClient(members: ClientMetadata): ClientMetadata {
  return {
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
    redirect_uris: [REDIRECT_URI],
    ...members,
  }
}

/** Nobody is asked for consent. */
export async function grantEverything({ oidc }: { readonly oidc: never }): Promise<unknown> {
  const { provider, client, session } = oidc as {
    readonly provider: AuthorizationServer['provider']
    readonly client: { readonly clientId: string }
    readonly session: { readonly accountId: string }
  }
  const grant = new provider.Grant({ clientId: client.clientId, accountId: session.accountId })
  grant.addOIDCScope('openid offline_access')
  await grant.save()
  return grant
}

/** An authorization request, and what its code is exchanged with. */
export interface AuthorizationRequest {
  readonly parameters: Readonly<Record<string, string>>
  readonly verifier: string
}

/** Drafts an authorization request with PKCE. */
export function authorizationRequest(members: Readonly<Record<string, string>> = {}): AuthorizationRequest {
  const verifier = randomBytes(32).toString('base64url')
  const parameters = {
    response_type: 'code',
    redirect_uri: REDIRECT_URI,
    scope: 'openid offline_access',
    prompt: 'consent',
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
    ...members,
  }
  return { parameters, verifier }
}

/** What a browser keeps for the provider. */
export type Cookies = Map<string, string>

/** Signs a user in at the real authorization endpoint, as a browser does, and gives the code that comes back. */
export async function signIn(
  { provider, issuer }: AuthorizationServer,
  parameters: Readonly<Record<string, string>>,
  cookies: Cookies = new Map(),
): Promise<string> {
  let next = `${issuer}/auth?${new URLSearchParams(parameters)}`
  for (let hop = 0; hop < 10; hop++) {
    const response = await browse(cookies, next)
    const location = new URL(response.headers.get('location') ?? '', issuer)
    if (location.href.startsWith(REDIRECT_URI)) {
      const code = location.searchParams.get('code')
      if (code === null) throw new Error(`expected a code, got ${location.search}`)
      return code
    }
    next = location.pathname.startsWith('/interaction/') ? await loggedIn(provider, location) : location.href
  }
  throw new Error('expected a code, got too many redirects')
}

/** One request of a browser, which keeps the cookies that come back. */
export async function browse(cookies: Cookies, url: string, init: RequestInit = {}): Promise<Response> {
  const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ')
  const response = await fetch(url, { ...init, redirect: 'manual', headers: { cookie } })
  for (const line of response.headers.getSetCookie()) {
    const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? []
    cookies.set(name, value)
  }
  return response
}

/** The user has entered a password; where the browser goes on. */
async function loggedIn(provider: AuthorizationServer['provider'], { pathname }: URL): Promise<string> {
  const interaction = await provider.Interaction.find(pathname.replace('/interaction/', ''))
  if (interaction === undefined) throw new Error('expected an interaction, got none')
  interaction.result = { login: { accountId: 'alice' }, consent: {} }
  await interaction.save(60)
  return interaction.returnTo
}
