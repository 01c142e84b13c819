import { clientSecretBasic, clientSecretPost, createTokenManager, none } from 'evertoken'
import { describe, expect } from 'vitest'
import { clientOf, rejection, test } from '../support/fixtures.ts'
import { errorJson, hang, tokenJson } from '../support/hostile-server.ts'
import { settle } from '../support/test-clock.ts'

describe('M1 unknown names', () => {
  test('M1 an unknown client name fails at run time with a message that names it', async ({ manage }) => {
    const tokens = manage()
    // @ts-expect-error the name is not among the clients
    const error = await rejection(tokens.getToken('catalgo'))
    expect(error).toMatchObject({ name: 'ConfigurationError', code: 'client_unknown' })
    expect(error.message).toContain('"catalgo"')
    expect(error.message).toContain('api')
  })

  test('M1 names of object members are no clients', async ({ manage }) => {
    const tokens = manage()
    // @ts-expect-error not a client
    expect((await rejection(tokens.getToken('constructor'))).code).toBe('client_unknown')
  })
})

describe('M3 client authentication', () => {
  const rows = [
    {
      name: 'client_secret_basic',
      authentication: clientSecretBasic('s3cret'),
      header: `Basic ${btoa('machine:s3cret')}`,
      body: {},
    },
    {
      name: 'client_secret_post',
      authentication: clientSecretPost('s3cret'),
      header: undefined,
      body: { client_id: 'machine', client_secret: 's3cret' },
    },
    { name: 'none', authentication: none(), header: undefined, body: { client_id: 'machine' } },
  ]
  for (const { name, authentication, header, body } of rows) {
    test(`M3 N1.01 ${name}: exactly one method on the wire`, async ({ manage, server }) => {
      await manage({ authentication }).getToken('api')
      const [seen] = server.requests
      expect(seen?.headers.authorization).toBe(header)
      expect(Object.fromEntries(seen?.form ?? [])).toEqual({ grant_type: 'client_credentials', ...body })
    })
  }

  const uuid = '6f59b670-990f-4ef7-856f-0dd584ed1fac'
  test('M3 N1.02 Basic is form-urlencoded as browsers do it, leaving *-._ alone', async ({ manage, server }) => {
    await manage({ clientId: uuid, authentication: clientSecretBasic('a*b-c.d_e ~') }).getToken('api')
    const sent = atob(server.requests[0]?.headers.authorization?.slice('Basic '.length) ?? '')
    expect(sent).toBe(`${uuid}:a*b-c.d_e+%7E`)
  })

  test('N1.02 id and secret are encoded separately: a server that decodes sees the originals', async ({
    manage,
    server,
  }) => {
    await manage({ clientId: 'a b:c%é', authentication: clientSecretBasic('p+q/=&%') }).getToken('api')
    const sent = atob(server.requests[0]?.headers.authorization?.slice('Basic '.length) ?? '')
    const [id, secret] = sent.split(':').map((part) => decodeURIComponent(part.replaceAll('+', ' ')))
    expect([id, secret]).toEqual(['a b:c%é', 'p+q/=&%'])
  })

  test('M3 raw Basic joins id and secret as they are', async ({ manage, server }) => {
    await manage({ authentication: clientSecretBasic('p~q', { raw: true }) }).getToken('api')
    expect(server.requests[0]?.headers.authorization).toBe(`Basic ${btoa('machine:p~q')}`)
  })

  test('a secret that is a function is asked for every request', async ({ manage, server }) => {
    let n = 0
    const tokens = manage({ authentication: clientSecretPost(() => `secret-${++n}`) })
    await tokens.getToken('api')
    await tokens.getToken('api', {}, { forceRenewal: true })
    expect(server.requests.map(({ form }) => form.get('client_secret'))).toEqual(['secret-1', 'secret-2'])
  })
})

describe('M4 scope, resource, parameters', () => {
  test('M4 come from the client and are overridden per request', async ({ manage, server }) => {
    const tokens = manage({ scope: 'a b', resource: 'urn:one', parameters: { audience: 'x', tenant: '1' } })
    await tokens.getToken('api')
    await tokens.getToken('api', { scope: 'a', resource: ['urn:two', 'urn:three'], parameters: { tenant: '2' } })
    const [first, second] = server.requests.map(({ form }) => form)
    expect([...(first ?? [])].sort()).toEqual([
      ['audience', 'x'],
      ['grant_type', 'client_credentials'],
      ['resource', 'urn:one'],
      ['scope', 'a b'],
      ['tenant', '1'],
    ])
    expect(second?.getAll('resource')).toEqual(['urn:two', 'urn:three'])
    expect([second?.get('scope'), second?.get('tenant'), second?.get('audience')]).toEqual(['a', '2', 'x'])
  })

  for (const name of ['grant_type', 'client_id', 'client_secret', 'client_assertion', 'scope', 'resource']) {
    test(`M4 N1.07 the parameter "${name}" is refused before anything is sent`, async ({ manage, server }) => {
      const error = await rejection(manage().getToken('api', { parameters: { [name]: 'x' } }))
      expect(error).toMatchObject({ name: 'ConfigurationError', code: 'parameter_reserved' })
      expect(error.message).toContain(name)
      expect(server.requests).toHaveLength(0)
    })
  }

  test('N1.07 a parameter that is no string is refused', async ({ manage }) => {
    // @ts-expect-error a list is not a string
    expect((await rejection(manage().getToken('api', { parameters: { a: ['x'] } }))).code).toBe('option_invalid')
  })

  test('N1.08 empty values are left out', async ({ manage, server }) => {
    await manage({ scope: 'a' }).getToken('api', { scope: '', parameters: { audience: '' } })
    expect([...(server.requests[0]?.form.keys() ?? [])]).toEqual(['grant_type'])
  })

  test('a misspelled request option is refused', async ({ manage }) => {
    // @ts-expect-error unknown option
    expect((await rejection(manage().getToken('api', { scopes: 'a' }))).code).toBe('option_unknown')
  })
})

describe('M5 M6 the cache', () => {
  test('M5 the first get calls the network, the second does not', async ({ manage, server }) => {
    const tokens = manage()
    const first = await tokens.getToken('api')
    expect(await tokens.getToken('api')).toBe(first)
    expect(server.requests).toHaveLength(1)
  })

  test('M5 a forced renewal skips the cache and is stored for the next caller', async ({ manage, server }) => {
    const tokens = manage()
    await tokens.getToken('api')
    const forced = await tokens.getToken('api', {}, { forceRenewal: true })
    expect(forced.accessToken).toBe('token-2')
    expect(await tokens.getToken('api')).toBe(forced)
    expect(server.requests).toHaveLength(2)
  })

  test('M5 forced renewals at the same time share one request, but never one that was under way before', async ({
    manage,
    server,
  }) => {
    const tokens = manage()
    const early = tokens.getToken('api')
    const forced = await Promise.all(
      Array.from({ length: 20 }, () => tokens.getToken('api', {}, { forceRenewal: true })),
    )
    expect((await early).accessToken).toBe('token-1')
    expect(new Set(forced.map(({ accessToken }) => accessToken))).toEqual(new Set(['token-2']))
    expect(server.requests).toHaveLength(2)
  })

  test('M6 delete forgets one entry, one client, or all', async ({ server }) => {
    const tokens = createTokenManager({
      clients: { a: clientOf(server, { clientId: 'a' }), b: clientOf(server, { clientId: 'b' }) },
    })
    const asks = [() => tokens.getToken('a'), () => tokens.getToken('a', { scope: 'x' }), () => tokens.getToken('b')]
    const asked = async (): Promise<number> => {
      const before = server.requests.length
      for (const ask of asks) await ask()
      return server.requests.length - before
    }
    expect(await asked()).toBe(3)
    await tokens.delete('a', { scope: 'x' })
    expect(await asked()).toBe(1)
    await tokens.delete('a', {})
    expect(await asked()).toBe(1)
    await tokens.delete('a')
    expect(await asked()).toBe(2)
    await tokens.delete()
    expect(await asked()).toBe(3)
    await tokens.close()
  })

  test('M6 a token that arrives after its entry was deleted is given to its callers and not kept', async ({
    manage,
    server,
  }) => {
    const tokens = manage()
    const pending = tokens.getToken('api')
    await server.nextRequest()
    await tokens.delete('api')
    expect((await pending).accessToken).toBe('token-1')
    expect((await tokens.getToken('api')).accessToken).toBe('token-2')
  })
})

describe('M7 failures', () => {
  test('M7 the JSON error body wins over any WWW-Authenticate header', async ({ manage, server }) => {
    server.answer = () => ({
      status: 401,
      headers: { 'www-authenticate': 'Basic error="other"' },
      body: JSON.stringify({ error: 'invalid_client', error_description: 'no such client' }),
    })
    const error = await rejection(manage().getToken('api'))
    expect(error).toMatchObject({
      name: 'TokenEndpointError',
      code: 'client_refused',
      error: 'invalid_client',
      errorDescription: 'no such client',
      status: 401,
      retryable: false,
    })
  })

  test('M7 an empty body still gives a typed error with the status', async ({ manage, server }) => {
    server.answer = () => ({ status: 400, headers: { 'content-type': 'text/plain' } })
    expect(await rejection(manage().getToken('api'))).toMatchObject({ error: 'http_400', status: 400 })
  })

  test('M7 failures are never cached as tokens', async ({ manage, server, clock }) => {
    server.answer = () => errorJson(400, 'invalid_scope')
    const tokens = manage()
    await rejection(tokens.getToken('api'))
    server.answer = tokenJson()
    await clock.advance(5000)
    expect((await tokens.getToken('api')).accessToken).toBe('token-2')
  })

  test('M7 an abort surfaces as its reason', async ({ manage }) => {
    const reason = new Error('changed my mind')
    expect(await rejection(manage().getToken('api', {}, { signal: AbortSignal.abort(reason) }))).toBe(reason)
  })
})

describe('M8 what separates tokens', () => {
  const requests = [
    { name: 'nothing', request: {} },
    { name: 'scope', request: { scope: 'a' } },
    { name: 'more scope', request: { scope: 'a b' } },
    { name: 'resource', request: { resource: 'urn:a' } },
    { name: 'resources', request: { resource: ['urn:a', 'urn:b'] } },
    { name: 'parameter', request: { parameters: { tenant: '1' } } },
    { name: 'another value', request: { parameters: { tenant: '2' } } },
    { name: 'partition', request: { partition: '1' } },
    { name: 'empty partition', request: { partition: '' } },
  ]

  test('M8 A1.02 every part of a request has a token and a flight of its own', async ({ manage, server }) => {
    const tokens = manage()
    const all = () => Promise.all(requests.map(({ request }) => tokens.getToken('api', request)))
    const cold = await all()
    expect(new Set(cold.map(({ accessToken }) => accessToken)).size).toBe(requests.length)
    expect(await all()).toEqual(cold)
    expect(server.requests).toHaveLength(requests.length)
  })

  test('M8 equal inputs in another order share', async ({ manage, server }) => {
    const tokens = manage()
    await tokens.getToken('api', { scope: 'a b', resource: ['urn:a', 'urn:b'], parameters: { x: '1', y: '2' } })
    await tokens.getToken('api', { scope: 'b a b', resource: ['urn:b', 'urn:a'], parameters: { y: '2', x: '1' } })
    expect(server.requests).toHaveLength(1)
  })
})

describe('M9 herds', () => {
  test('M9 10,000 concurrent cold gets cost one token request', async ({ manage, server }) => {
    const tokens = manage()
    const all = await Promise.all(Array.from({ length: 10_000 }, () => tokens.getToken('api')))
    expect(new Set(all).size).toBe(1)
    expect(server.requests).toHaveLength(1)
  })

  test('M9 10,000 gets spread over 50 keys cost 50', async ({ manage, server }) => {
    const tokens = manage()
    await Promise.all(Array.from({ length: 10_000 }, (_, i) => tokens.getToken('api', { partition: String(i % 50) })))
    expect(server.requests).toHaveLength(50)
  })
})

describe('M14 aborts and hangs', () => {
  test('M14 F4.08 one caller’s abort does not abort the others’', async ({ manage, server }) => {
    const tokens = manage()
    const abort = new AbortController()
    const first = tokens.getToken('api', {}, { signal: abort.signal })
    const others = [tokens.getToken('api'), tokens.getToken('api', {}, { signal: new AbortController().signal })]
    await server.nextRequest()
    abort.abort(new Error('enough'))
    expect((await rejection(first)).message).toBe('enough')
    expect((await Promise.all(others)).map(({ accessToken }) => accessToken)).toEqual(['token-1', 'token-1'])
    expect(server.requests).toHaveLength(1)
  })

  test('M14 F1.02 a hung server frees everybody at the deadline, and the next call starts afresh', async ({
    manage,
    server,
    clock,
  }) => {
    server.answer = () => hang
    const tokens = manage()
    const waiting = [rejection(tokens.getToken('api')), rejection(tokens.getToken('api'))]
    await server.nextRequest()
    await clock.advance(9999)
    await clock.advance(1)
    const errors = await Promise.all(waiting)
    expect(errors.map(({ name, code }) => `${name} ${code}`)).toEqual([
      'TransportError timeout',
      'TransportError timeout',
    ])
    server.answer = tokenJson()
    expect((await tokens.getToken('api')).accessToken).toBe('token-2')
    await settle()
    expect(clock.pending).toBe(0)
  })
})

describe('M15 back channels', () => {
  test('M15 a client’s own fetch comes before the manager’s', async ({ server }) => {
    const used: string[] = []
    const channel =
      (name: string): typeof fetch =>
      (input, init) => {
        used.push(`${name} ${new URL(String(input)).pathname}`)
        return fetch(input, init)
      }
    server.answer = (request) =>
      request.url.startsWith('/.well-known')
        ? {
            body: JSON.stringify({
              issuer: server.origin,
              token_endpoint: server.tokenEndpoint,
              revocation_endpoint: `${server.origin}/revoke`,
            }),
          }
        : request.url === '/revoke'
          ? { status: 200 }
          : tokenJson()(request)
    const tokens = createTokenManager({
      fetch: channel('manager'),
      clients: {
        plain: clientOf(server),
        special: { ...clientOf(server), tokenEndpoint: undefined, issuer: server.origin, fetch: channel('client') },
      },
    })
    await tokens.getToken('plain')
    await tokens.getToken('special')
    await tokens.revoke('special')
    expect(used).toEqual([
      'manager /token',
      'client /.well-known/openid-configuration',
      'client /token',
      'client /revoke',
    ])
    await tokens.close()
  })
})

describe('M17 the request customiser', () => {
  test('M17 sees the outgoing request and chooses the token request', async ({ manage, server, elsewhere }) => {
    elsewhere.answer = ({ headers }) => ({ body: JSON.stringify({ authorization: headers.authorization }) })
    const seen: string[] = []
    const tokens = manage(
      {},
      {
        customizeRequest: ({ clientName, method, url, headers, request }) => {
          seen.push(`${clientName} ${method} ${url.pathname} ${headers.get('x-tenant')} ${request.scope}`)
          return { ...request, parameters: { tenant: headers.get('x-tenant') ?? '' } }
        },
      },
    )
    const call = tokens.fetch('api', { baseUrl: elsewhere.origin }, { scope: 'a' })
    const bearers: unknown[] = []
    for (const tenant of ['1', '2', '1']) {
      bearers.push(await (await call('list', { method: 'POST', headers: { 'x-tenant': tenant } })).json())
    }
    expect(seen).toEqual(['api POST /list 1 a', 'api POST /list 2 a', 'api POST /list 1 a'])
    expect(server.requests.map(({ form }) => form.get('tenant'))).toEqual(['1', '2'])
    expect(bearers).toEqual(['token-1', 'token-2', 'token-1'].map((token) => ({ authorization: `Bearer ${token}` })))
  })

  test('M17 F4.09 one that throws, throws a typed error for that call', async ({ manage, elsewhere }) => {
    const tokens = manage(
      {},
      {
        customizeRequest: () => {
          throw new Error('no tenant')
        },
      },
    )
    const error = await rejection(tokens.fetch('api', { baseUrl: elsewhere.origin })('list'))
    expect(error).toMatchObject({ name: 'ConfigurationError', code: 'customizer_failed' })
    expect(elsewhere.requests).toHaveLength(0)
  })
})
