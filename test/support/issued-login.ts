import type { LoginResponse } from 'evertoken/session'
import type { Provider } from 'oidc-provider'

/** Who signed in, at which client, and what for. */
export interface IssuedLoginRequest {
  readonly clientId: string
  readonly resource: string
  readonly scope: string
  readonly accountId?: string
}

/**
 * What a provider's token endpoint would have answered at a login an hour ago, without a browser and without the client having to prove itself for it: the access
 * token has expired, and the refresh token is good.
 */
export async function issuedLogin(provider: Provider, request: IssuedLoginRequest): Promise<LoginResponse> {
  const { clientId, resource, scope, accountId = 'alice' } = request
  const client = await provider.Client.find(clientId)
  if (client === undefined) throw new Error(`issuedLogin: expected a registered client, got "${clientId}"`)
  const grant = new provider.Grant({ accountId, clientId })
  grant.addResourceScope(resource, scope)
  const grantId = await grant.save()
  const refreshToken = new provider.RefreshToken({
    accountId,
    client,
    grantId,
    scope,
    resource,
    gty: 'authorization_code',
  } as never)
  return {
    access_token: 'expired',
    expires_in: 600,
    receivedAt: Date.now() - 3_600_000,
    refresh_token: await refreshToken.save(),
    scope,
    subject: accountId,
  }
}
