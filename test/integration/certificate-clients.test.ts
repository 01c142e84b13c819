import {
  authorizedFetch,
  authorizerFrom,
  type ClientCertificate,
  type ClientDefinition,
  createTokenManager,
  memoryStore,
  none,
  selfSignedTlsClientAuth,
  tlsClientAuth,
} from 'evertoken'
import { describe, expect } from 'vitest'
import { rejection } from '../support/fixtures.ts'
import { tokenJson } from '../support/hostile-server.ts'
import { test } from '../support/mtls-fixtures.ts'
import { type EchoedRequest, startMtlsServer, thumbprintOf } from '../support/mtls-servers.ts'

/** A certificate that can be replaced by hand, over the connections of real ones. */
function replaceable(first: ClientCertificate): ClientCertificate & { replace(by: ClientCertificate): void } {
  let current = first
  return {
    get thumbprint() {
      return current.thumbprint
    },
    get expiresAt() {
      return current.expiresAt
    },
    fetch: (input, init) => current.fetch(input, init),
    replace(by) {
      current = by
    },
  }
}

describe('A6 N7 clients that a certificate proves, at a real authorization server', () => {
  test('N7.01 N7.02 N7.03 both ways get a token over the aliases, and use it with the same certificate', async ({
    provider,
    api,
    pairs,
    own,
    open,
  }) => {
    const tokens = createTokenManager({
      clients: {
        blue: {
          issuer: provider.issuer,
          clientId: 'blue',
          certificate: open(pairs.blue),
          authentication: tlsClientAuth(),
          scope: 'read',
        },
        own: {
          issuer: provider.issuer,
          clientId: 'own',
          certificate: open(own),
          authentication: selfSignedTlsClientAuth(),
          scope: 'read',
        },
      },
    })
    for (const [name, { cert }] of [['blue', pairs.blue] as const, ['own', own] as const]) {
      const response = await tokens.fetch(name, { baseUrl: api.origin })('/')
      expect([response.status, await response.json()]).toEqual([200, { refusal: null }])
      expect((await tokens.getToken(name)).certificateThumbprint).toBe(thumbprintOf(cert))
      expect(provider.tokenRequests.at(-1)).toMatchObject({
        listener: 'mtls',
        clientId: name,
        thumbprint: thumbprintOf(cert),
        authentication: ['none'],
        parameters: { grant_type: 'client_credentials', client_id: name, scope: 'read' },
        status: 200,
      })
    }
    await tokens.close()
  })

  test('N7.03 a transport without the certificate is refused here, before anything is sent', async ({
    provider,
    api,
    pairs,
    open,
  }) => {
    const certificate = open(pairs.blue)
    const tokens = createTokenManager({
      clients: {
        blue: { issuer: provider.issuer, clientId: 'blue', certificate, authentication: tlsClientAuth() },
      },
    })
    const authorizer = tokens.authorizer('blue', { baseUrl: api.origin })
    let sent = 0
    const bare = authorizedFetch(authorizer, { fetch: async () => new Response(String(sent++)) })
    const fromSource = authorizerFrom(tokens.source('blue'), { baseUrl: api.origin })
    const ways = [
      bare(api.origin),
      authorizer.begin({ method: 'GET', url: new URL(api.origin) }),
      fromSource.begin({ method: 'GET', url: new URL(api.origin) }),
      authorizedFetch(authorizer, { certificate: open(pairs.green) })(api.origin),
    ]
    for (const way of ways) {
      expect(await rejection(way)).toMatchObject({ name: 'ConfigurationError', code: 'certificate_missing' })
    }
    expect(sent).toBe(0)
    expect((await authorizedFetch(fromSource, { certificate })(api.origin)).status).toBe(200)
    await tokens.close()
  })

  test('N7.04 A1.11 two clients of one server: 1,000 interleaved requests, each over its own certificate', async ({
    provider,
    authority,
    pairs,
    open,
  }) => {
    const echo = await startMtlsServer(authority)
    const client = (name: 'blue' | 'green'): ClientDefinition => ({
      issuer: provider.issuer,
      clientId: name,
      certificate: open(pairs[name]),
      authentication: tlsClientAuth(),
    })
    const tokens = createTokenManager({ clients: { blue: client('blue'), green: client('green') } })
    const expected = { blue: thumbprintOf(pairs.blue.cert), green: thumbprintOf(pairs.green.cert) }
    const send = {
      blue: tokens.fetch('blue', { baseUrl: echo.origin }),
      green: tokens.fetch('green', { baseUrl: echo.origin }),
    }
    const names = Array.from({ length: 1000 }, (_, i) => (i % 3 === 0 ? 'blue' : 'green') as 'blue' | 'green')
    const wrong: string[] = []
    const walk = async (): Promise<void> => {
      for (let name = names.pop(); name !== undefined; name = names.pop()) {
        const { thumbprint } = (await (await send[name](`/${name}`)).json()) as EchoedRequest
        if (thumbprint !== expected[name]) wrong.push(name)
        if (names.length % 100 === 0) await tokens.getToken(name, {}, { forceRenewal: true })
      }
    }
    await Promise.all(Array.from({ length: 20 }, walk))
    expect(wrong).toEqual([])
    for (const { clientId, thumbprint } of provider.tokenRequests) {
      expect(thumbprint).toBe(expected[clientId as 'blue' | 'green'])
    }
    await tokens.close()
    await echo.close()
  })

  test('N7.05 F9.09 files that are replaced while the client runs: new token, new connections, no restart, no failed call', async ({
    provider,
    api,
    authority,
    files,
    clock,
    open,
  }) => {
    const { certFile, keyFile } = files
    const certificate = open({ certFile, keyFile }, { clock })
    const tokens = createTokenManager({
      clock,
      clients: {
        blue: { issuer: provider.issuer, clientId: 'blue', certificate, authentication: tlsClientAuth() },
      },
    })
    const call = tokens.fetch('blue', { baseUrl: api.origin })
    expect((await call('/')).status).toBe(200)
    const before = await tokens.getToken('blue')
    const next = await authority.issueClient({ name: 'blue', host: 'blue.example' })
    await files.replace('key', next.key)
    await files.replace('cert', next.cert)
    await clock.advance(1000)
    await certificate.refresh()
    expect(certificate.thumbprint).toBe(thumbprintOf(next.cert))
    expect((await call('/')).status).toBe(200)
    const after = await tokens.getToken('blue')
    expect(after.accessToken).not.toBe(before.accessToken)
    expect([before, after].map(({ certificateThumbprint }) => certificateThumbprint)).toEqual([
      provider.tokenRequests[0]?.thumbprint,
      thumbprintOf(next.cert),
    ])
    expect(provider.tokenRequests.map(({ status }) => status)).toEqual([200, 200])
    await tokens.close()
  })
})

describe('N7 what a certificate changes in a client', () => {
  test('N7.05 a token request takes up a certificate that was replaced, and is bound to the one it was sent with', async ({
    authority,
    pairs,
    clock,
    open,
  }) => {
    const server = await startMtlsServer(authority, { answer: tokenJson() })
    const certificate = replaceable(open(pairs.blue))
    const green = open(pairs.green)
    const client: ClientDefinition = {
      tokenEndpoint: server.tokenEndpoint,
      clientId: 'machine',
      certificate: Object.assign(certificate, { refresh: async () => certificate.replace(green) }),
      authentication: tlsClientAuth(),
    }
    const tokens = createTokenManager({ clients: { api: client }, clock })
    const token = await tokens.getToken('api')
    expect(token.certificateThumbprint).toBe(green.thumbprint)
    expect(await tokens.getToken('api')).not.toBe(token)
    expect(await tokens.getToken('api')).toBe(await tokens.getToken('api'))
    await tokens.close()
    await server.close()
  })

  test('N7.05 tokens of varied requests are left behind too, and the store keeps certificates apart', async ({
    authority,
    pairs,
    clock,
    open,
  }) => {
    const server = await startMtlsServer(authority, { answer: tokenJson() })
    const store = memoryStore({ clock })
    const certificate = replaceable(open(pairs.blue))
    const green = open(pairs.green)
    const client: ClientDefinition = {
      tokenEndpoint: server.tokenEndpoint,
      clientId: 'machine',
      certificate,
      authentication: tlsClientAuth(),
    }
    const tokens = createTokenManager({ clients: { api: client }, clock, store })
    const varied = { scope: 'varied' }
    const first = [await tokens.getToken('api'), await tokens.getToken('api', varied)]
    certificate.replace(green)
    const second = [await tokens.getToken('api'), await tokens.getToken('api', varied)]
    expect(new Set([...first, ...second].map(({ accessToken }) => accessToken)).size).toBe(4)
    expect(new Set(second.map(({ certificateThumbprint }) => certificateThumbprint))).toEqual(
      new Set([green.thumbprint]),
    )
    // Another process with the same certificate finds the token, with what it is bound to.
    const other = createTokenManager({ clients: { api: { ...client, certificate: green } }, clock, store })
    const found = await other.getToken('api')
    expect([found.accessToken, found.certificateThumbprint]).toEqual([second[0]?.accessToken, green.thumbprint])
    expect(server.requests).toHaveLength(4)
    // One without it does not.
    const none_ = createTokenManager({
      clients: { api: { ...client, certificate: undefined, authentication: none(), fetch: green.fetch } },
      clock,
      store,
    })
    expect((await none_.getToken('api')).certificateThumbprint).toBeUndefined()
    expect(server.requests).toHaveLength(5)
    await Promise.all([tokens, other, none_].map((manager) => manager.close()))
    await server.close()
  })

  test('N7.05 F9.09 a certificate that the token request takes up is the one that the API call presents: no call fails', async ({
    authority,
    pairs,
    files,
    clock,
    open,
  }) => {
    const as = await startMtlsServer(authority, { answer: tokenJson() })
    const api = await startMtlsServer(authority)
    const { certFile, keyFile, replace } = files
    const client = { tokenEndpoint: as.tokenEndpoint, clientId: 'machine', authentication: tlsClientAuth() }
    const certificate = open({ certFile, keyFile }, { clock })
    const tokens = createTokenManager({ clock, clients: { api: { ...client, certificate } } })
    const call = tokens.fetch('api', { baseUrl: api.origin })
    await call('/')
    await replace('cert', pairs.green.cert)
    await replace('key', pairs.green.key)
    clock.leap(3_600_000)
    const responses = await Promise.all(Array.from({ length: 10 }, () => call('/')))
    for (const response of responses) {
      expect(((await response.json()) as EchoedRequest).thumbprint).toBe(thumbprintOf(pairs.green.cert))
    }
    await tokens.close()
    await Promise.all([as.close(), api.close()])
  })

  test('N7.05 a certificate that is replaced just before a request leaves: the retry after the 401 comes through', async ({
    authority,
    pairs,
    open,
  }) => {
    const certificate = replaceable(open(pairs.blue))
    const green = open(pairs.green)
    const as = await startMtlsServer(authority, { answer: tokenJson() })
    const api = await startMtlsServer(authority, {
      answer: ({ n }) => {
        if (n > 1) return { body: 'in' }
        certificate.replace(green)
        return { status: 401, headers: { 'www-authenticate': 'Bearer error="invalid_token"' } }
      },
    })
    const client = { tokenEndpoint: as.tokenEndpoint, clientId: 'machine', authentication: tlsClientAuth() }
    const tokens = createTokenManager({ clients: { api: { ...client, certificate } } })
    expect((await tokens.fetch('api', { baseUrl: api.origin })('/')).status).toBe(200)
    await tokens.close()
    await Promise.all([as.close(), api.close()])
  })

  test('N7.05 a token of the new certificate does not get into the store under the name of the old one', async ({
    authority,
    pairs,
    clock,
    open,
  }) => {
    const server = await startMtlsServer(authority, { answer: tokenJson() })
    const store = memoryStore({ clock })
    const [blue, green] = [open(pairs.blue), open(pairs.green)]
    const rotating = replaceable(blue)
    Object.assign(rotating, { refresh: async () => rotating.replace(green) })
    const client = { tokenEndpoint: server.tokenEndpoint, clientId: 'machine', authentication: tlsClientAuth() }
    const manager = (certificate: ClientCertificate) =>
      createTokenManager({ clients: { api: { ...client, certificate } }, clock, store })
    const [one, old, fresh] = [manager(rotating), manager(blue), manager(green)]
    await one.getToken('api')
    expect((await old.getToken('api')).certificateThumbprint).toBe(blue.thumbprint)
    const requests = server.requests.length
    expect((await fresh.getToken('api')).certificateThumbprint).toBe(green.thumbprint)
    expect(server.requests).toHaveLength(requests)
    await Promise.all([one, old, fresh].map((tokens) => tokens.close()))
    await server.close()
  })

  test('F9.09 a certificate of one’s own whose refresh throws: a typed error, nothing sent', async ({
    pairs,
    open,
    server,
    clock,
  }) => {
    const { thumbprint, expiresAt, fetch } = open(pairs.blue)
    const refresh = () => Promise.reject(new Error('no disk'))
    const client = { tokenEndpoint: server.tokenEndpoint, clientId: 'machine', authentication: tlsClientAuth() }
    const tokens = createTokenManager({
      clients: { api: { ...client, certificate: { thumbprint, expiresAt, fetch, refresh } } },
      clock,
    })
    expect(await rejection(tokens.getToken('api'))).toMatchObject({ code: 'client_authentication_failed' })
    expect(server.requests).toHaveLength(0)
    await tokens.close()
  })

  test('N7.02 aliases are used with a certificate only, each where there is one', async ({
    authority,
    pairs,
    clock,
    open,
  }) => {
    const alias = await startMtlsServer(authority, { answer: tokenJson() })
    const main = await startMtlsServer(authority, {
      answer: (request) =>
        request.method === 'GET'
          ? {
              body: JSON.stringify({
                issuer: main.origin,
                token_endpoint: main.tokenEndpoint,
                revocation_endpoint: `${main.origin}/revoke`,
                mtls_endpoint_aliases: { token_endpoint: alias.tokenEndpoint },
              }),
            }
          : tokenJson()(request),
    })
    const certificate = open(pairs.blue)
    const common = { issuer: main.origin, clientId: 'machine' }
    const tokens = createTokenManager({
      clock,
      clients: {
        bound: { ...common, certificate, authentication: tlsClientAuth() },
        unbound: { ...common, fetch: certificate.fetch, authentication: none() },
      },
    })
    await tokens.getToken('bound')
    await tokens.revoke('bound')
    await tokens.getToken('unbound')
    const seen = ({ requests }: typeof main) => requests.map(({ method, url }) => `${method} ${url}`)
    expect(seen(alias)).toEqual(['POST /token'])
    expect(seen(main).filter((line) => line.startsWith('POST'))).toEqual(['POST /revoke', 'POST /token'])
    await tokens.close()
    await Promise.all([alias.close(), main.close()])
  })

  test('A3.02 a redirect to a foreign origin goes without the certificate', async ({ authority, pairs, open }) => {
    const as = await startMtlsServer(authority, { answer: tokenJson() })
    const abroad = await startMtlsServer(authority)
    const api = await startMtlsServer(authority, {
      answer: () => ({ status: 302, headers: { location: `${abroad.origin}/abroad` } }),
    })
    const client = { tokenEndpoint: as.tokenEndpoint, clientId: 'machine', certificate: open(pairs.blue) }
    const tokens = createTokenManager({ clients: { api: { ...client, authentication: tlsClientAuth() } } })
    // Only the certificate's connections trust this server: over them the request would have come through.
    const error = await rejection(tokens.fetch('api', { baseUrl: api.origin })('/'))
    expect(error.message).toBe('fetch failed')
    expect(abroad.requests).toEqual([])
    await tokens.close()
    await Promise.all([as, abroad, api].map((server) => server.close()))
  })

  test('F9.09 expiry is told seven days ahead, once a day', async ({ authority, pairs, clock, recorder, open }) => {
    const server = await startMtlsServer(authority, { answer: tokenJson({ expires_in: 60 }) })
    const day = 24 * 60 * 60 * 1000
    const expiresAt = clock.now() + 8 * day
    const { thumbprint, fetch } = open(pairs.blue)
    const client = {
      tokenEndpoint: server.tokenEndpoint,
      clientId: 'machine',
      certificate: { thumbprint, fetch, expiresAt },
      authentication: tlsClientAuth(),
    }
    const tokens = createTokenManager({ clients: { api: client }, clock, telemetry: recorder })
    const told = () => recorder.events.filter(({ name }) => name === 'certificate_expiring')
    await tokens.getToken('api')
    expect(told()).toEqual([])
    await clock.advance(day)
    await tokens.getToken('api')
    await tokens.getToken('api', {}, { forceRenewal: true })
    expect(told()).toEqual([{ name: 'certificate_expiring', client: 'api', expiresAt }])
    await clock.advance(day)
    await tokens.getToken('api')
    expect(told()).toHaveLength(2)
    await tokens.close()
    await server.close()
  })

  const wrong: readonly {
    readonly name: string
    readonly members: Partial<ClientDefinition>
    readonly says: string
  }[] = [
    {
      name: 'a method that needs a certificate without one',
      members: { authentication: tlsClientAuth() },
      says: 'client "api": expected a certificate for tls_client_auth, got none',
    },
    {
      name: 'a certificate that is a text',
      members: { authentication: none(), certificate: '-----BEGIN CERTIFICATE-----' as never },
      says: 'client "api": expected certificate such as clientCertificate(files), got a string',
    },
    {
      name: 'certificate and fetch',
      members: {
        authentication: none(),
        certificate: { thumbprint: 'x', expiresAt: 0, fetch },
        fetch,
      },
      says: 'client "api": expected certificate or fetch, got both',
    },
  ]
  for (const { name, members, says } of wrong) {
    test(`N7.01 ${name} is refused at creation`, ({ manage }) => {
      expect(() => manage(members)).toThrow(says)
    })
  }
})
