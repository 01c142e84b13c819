import type { Provider } from 'oidc-provider'

/** What somebody agreed to. */
export interface CodeRequest {
  readonly clientId: string
  readonly redirectUri: string
  readonly resource: string
  /** Default: `somebody`. */
  readonly accountId?: string
  /** The key that the code is bound to (RFC 9449 section 10). */
  readonly dpopJkt?: string
  /** An S256 challenge (RFC 7636). */
  readonly codeChallenge?: string
}

/** Issues an authorization code as if somebody had logged in and agreed, with a refresh token to come. */
export async function issueCode(
  provider: Provider,
  scope: string,
  { clientId, redirectUri, resource, accountId = 'somebody', dpopJkt, codeChallenge }: CodeRequest,
): Promise<string> {
  const client = await provider.Client.find(clientId)
  if (client === undefined) throw new Error(`issueCode: expected a registered client, got "${clientId}"`)
  const grant = new provider.Grant({ accountId, clientId })
  grant.addOIDCScope('openid offline_access')
  grant.addResourceScope(resource, scope)
  const code = new provider.AuthorizationCode({
    accountId,
    client,
    redirectUri,
    resource,
    grantId: await grant.save(),
    scope: `openid offline_access ${scope}`,
    gty: 'authorization_code',
    ...(dpopJkt !== undefined && { dpopJkt }),
    ...(codeChallenge !== undefined && { codeChallenge, codeChallengeMethod: 'S256' }),
  })
  return await code.save()
}
