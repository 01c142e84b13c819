import {
  type AuthorizedFetchInit,
  authorizedFetch,
  authorizerFrom,
  cachedSource,
  chainSource,
  type Destination,
  staticSource,
} from 'evertoken'
import { describe, expect } from 'vitest'
import { rejection, test } from '../support/fixtures.ts'
import { type Answer, errorJson, type SeenRequest } from '../support/hostile-server.ts'

const refuse: Answer = { status: 401, headers: { 'www-authenticate': 'Bearer error="invalid_token"' }, body: '{}' }
const bearer = ({ headers }: SeenRequest): string => headers.authorization?.replace('Bearer ', '') ?? 'none'
/** Refuses the first token of the test, takes every other. */
const refuseFirst = (request: SeenRequest): Answer =>
  bearer(request) === 'token-1' ? refuse : { body: bearer(request) }

describe('T1 T4 the token on the request', () => {
  test('T1 is attached, relative URLs resolve against the base', async ({ manage, elsewhere }) => {
    elsewhere.answer = (request) => ({ body: bearer(request) })
    const call = manage().fetch('api', { baseUrl: `${elsewhere.origin}/v1` })
    expect(await (await call('list?x=1')).text()).toBe('token-1')
    expect(await (await call('/root')).text()).toBe('token-1')
    expect(await (await call(new URL(`${elsewhere.origin}/url`))).text()).toBe('token-1')
    expect(await (await call(new Request(`${elsewhere.origin}/request`))).text()).toBe('token-1')
    expect(elsewhere.requests.map(({ url }) => url)).toEqual(['/v1/list?x=1', '/root', '/url', '/request'])
  })

  test('T4 F10.01 no token, no request: the caller gets the typed error', async ({ manage, server, elsewhere }) => {
    server.answer = () => errorJson(401, 'invalid_client')
    const error = await rejection(manage().fetch('api', { baseUrl: elsewhere.origin })('x'))
    expect(error).toMatchObject({ name: 'TokenEndpointError', error: 'invalid_client' })
    expect(elsewhere.requests).toHaveLength(0)
  })

  test('T1 by hand: an authorizer gives headers and judges responses', async ({ manage, elsewhere }) => {
    const authorizer = manage().authorizer('api', { origins: [elsewhere.origin] })
    const attempt = await authorizer.begin({ method: 'GET', url: new URL(elsewhere.origin) })
    expect(attempt.headers).toEqual({ authorization: 'Bearer token-1' })
    const another = await attempt.next({ status: 401, header: () => undefined })?.()
    expect(another?.headers).toEqual({ authorization: 'Bearer token-2' })
    expect(another?.next({ status: 401, header: () => undefined })).toBeUndefined()
    expect(attempt.next({ status: 500, header: () => undefined })).toBeUndefined()
  })

  const clashes: readonly { readonly name: string; readonly path: string; readonly init: AuthorizedFetchInit }[] = [
    { name: 'an Authorization header', path: 'x', init: { headers: { AUTHORIZATION: 'Basic x' } } },
    { name: 'an access_token in the query', path: 'x?access_token=y', init: {} },
  ]
  for (const { name, path, init } of clashes) {
    test(`N1.22 N1.23 a request that has ${name} is refused`, async ({ manage, server, elsewhere }) => {
      const error = await rejection(manage().fetch('api', { baseUrl: elsewhere.origin })(path, init))
      expect(error).toMatchObject({ name: 'ConfigurationError', code: 'authorization_present' })
      expect([server.requests.length, elsewhere.requests.length]).toEqual([0, 0])
    })
  }
})

describe('T2 refused tokens', () => {
  test('T2 N1.25 401: one renewal, one retry', async ({ manage, server, elsewhere }) => {
    elsewhere.answer = refuseFirst
    expect(await (await manage().fetch('api', { baseUrl: elsewhere.origin })('x')).text()).toBe('token-2')
    expect([server.requests.length, elsewhere.requests.length]).toEqual([2, 2])
  })

  test('T2 F10.03 a server that rejects for ever: one renewal and one retry, and the 401 reaches the caller', async ({
    manage,
    server,
    elsewhere,
    clock,
  }) => {
    elsewhere.answer = () => refuse
    const call = manage().fetch('api', { baseUrl: elsewhere.origin })
    expect((await call('x')).status).toBe(401)
    expect([server.requests.length, elsewhere.requests.length]).toEqual([2, 2])
    for (let n = 0; n < 200; n++) {
      expect((await call('x')).status).toBe(401)
      await clock.advance(50)
    }
    // Ten seconds: renewals at 1, 3, 7 s.
    expect(server.requests.length).toBeLessThanOrEqual(6)
  })

  test('T2 F10.04 fifty 401s at once cost one renewal', async ({ manage, server, elsewhere }) => {
    elsewhere.answer = refuseFirst
    const call = manage().fetch('api', { baseUrl: elsewhere.origin })
    const texts = await Promise.all(Array.from({ length: 50 }, async () => (await call('x')).text()))
    expect(new Set(texts)).toEqual(new Set(['token-2']))
    expect(server.requests).toHaveLength(2)
  })

  test('F10.04 a call whose token was replaced meanwhile retries with the current one', async ({
    manage,
    server,
    elsewhere,
  }) => {
    let release = (_: Answer): void => {}
    elsewhere.answer = (request) =>
      request.url === '/slow' && bearer(request) === 'token-1'
        ? new Promise<Answer>((resolve) => {
            release = resolve
          })
        : refuseFirst(request)
    const call = manage().fetch('api', { baseUrl: elsewhere.origin })
    const slow = call('slow')
    await elsewhere.nextRequest()
    await (await call('fast')).text()
    release(refuse)
    expect(await (await slow).text()).toBe('token-2')
    expect(server.requests).toHaveLength(2)
  })

  test('a renewal that fails after a 401 is thrown, not hidden behind the 401', async ({
    manage,
    server,
    elsewhere,
  }) => {
    elsewhere.answer = () => refuse
    const tokens = manage()
    await tokens.getToken('api')
    server.answer = () => errorJson(400, 'unauthorized_client')
    expect((await rejection(tokens.fetch('api', { baseUrl: elsewhere.origin })('x'))).error).toBe('unauthorized_client')
  })

  for (const [status, challenge] of [
    [400, 'Bearer error="invalid_request"'],
    [403, 'Bearer'],
    [500, ''],
    [503, ''],
  ] as const) {
    test(`N1.25 F10.05 ${status} ${challenge} is the caller’s: no retry`, async ({ manage, server, elsewhere }) => {
      elsewhere.answer = () => ({ status, headers: { 'www-authenticate': challenge } })
      expect((await manage().fetch('api', { baseUrl: elsewhere.origin })('x', { method: 'POST' })).status).toBe(status)
      expect([server.requests.length, elsewhere.requests.length]).toEqual([1, 1])
    })
  }

  test('N1.25 403 insufficient_scope is a typed error with the scope that is needed', async ({
    manage,
    server,
    elsewhere,
  }) => {
    elsewhere.answer = () => ({
      status: 403,
      headers: { 'www-authenticate': 'Bearer error="insufficient_scope", scope="a b"' },
    })
    const error = await rejection(manage().fetch('api', { baseUrl: elsewhere.origin })('x'))
    expect(error).toMatchObject({ name: 'ChallengeError', code: 'insufficient_scope', status: 403, scope: 'a b' })
    expect(server.requests).toHaveLength(1)
  })

  test('N13.01 401 insufficient_user_authentication is a typed error, without a retry', async ({
    manage,
    elsewhere,
  }) => {
    elsewhere.answer = () => ({
      status: 401,
      headers: {
        'www-authenticate': 'Bearer error="insufficient_user_authentication", acr_values="high", max_age="5"',
      },
    })
    const error = await rejection(manage().fetch('api', { baseUrl: elsewhere.origin })('x'))
    expect(error).toMatchObject({
      name: 'ChallengeError',
      code: 'insufficient_user_authentication',
      acrValues: 'high',
      maxAge: 5,
    })
    expect(elsewhere.requests).toHaveLength(1)
  })

  const challenges = [
    { name: 'no header', value: undefined, isRetried: true },
    { name: 'another scheme', value: 'Basic realm="x"', isRetried: true },
    { name: 'odd case', value: 'bEARER ERROR="invalid_token"', isRetried: true },
    {
      name: 'behind another, with quoted commas',
      value: ['Negotiate abc==', 'Basic realm="a, Bearer error=\\"x\\""', 'Bearer realm="b", error="invalid_token"'],
      isRetried: true,
    },
    { name: 'another error', value: 'Bearer error="invalid_request"', isRetried: false },
    {
      name: 'the error in a realm only',
      value: 'Bearer realm="error=\\"invalid_token\\"", error="other"',
      isRetried: false,
    },
  ]
  for (const { name, value, isRetried } of challenges) {
    test(`N1.24 a 401 with ${name} is ${isRetried ? 'tried again' : 'the caller’s'}`, async ({ manage, elsewhere }) => {
      elsewhere.answer = (request) =>
        bearer(request) === 'token-1'
          ? { status: 401, ...(value && { headers: { 'www-authenticate': value } }) }
          : { status: 200 }
      const { status } = await manage().fetch('api', { baseUrl: elsewhere.origin })('x')
      expect(status).toBe(isRetried ? 200 : 401)
    })
  }
})

describe('T3 F10.02 bodies', () => {
  const form = new FormData()
  form.set('a', 'b')
  form.set('file', new Blob(['content']), 'name.txt')
  const bodies: readonly { readonly name: string; readonly init: () => AuthorizedFetchInit; readonly seen: RegExp }[] =
    [
      { name: 'text', init: () => ({ body: 'text' }), seen: /^text$/ },
      { name: 'bytes', init: () => ({ body: new TextEncoder().encode('bytes') }), seen: /^bytes$/ },
      { name: 'a Blob', init: () => ({ body: new Blob(['blob']) }), seen: /^blob$/ },
      { name: 'URLSearchParams', init: () => ({ body: new URLSearchParams({ a: 'b' }) }), seen: /^a=b$/ },
      { name: 'form data', init: () => ({ body: form }), seen: /name="a"[\s\S]*name\.txt[\s\S]*content/ },
      { name: 'a function', init: () => ({ body: () => 'made' }), seen: /^made$/ },
      { name: 'no body', init: () => ({}), seen: /^$/ },
    ]
  for (const { name, init, seen } of bodies) {
    test(`T3 ${name} is sent again`, async ({ manage, elsewhere }) => {
      elsewhere.answer = refuseFirst
      const response = await manage().fetch('api', { baseUrl: elsewhere.origin })('x', { method: 'POST', ...init() })
      expect(response.status).toBe(200)
      expect(elsewhere.requests).toHaveLength(2)
      for (const { body } of elsewhere.requests) expect(body).toMatch(seen)
    })
  }

  test('T3 a Request is sent again with its body, headers and method', async ({ manage, elsewhere }) => {
    elsewhere.answer = refuseFirst
    const request = new Request(`${elsewhere.origin}/x`, { method: 'PUT', body: 'kept', headers: { 'x-own': '1' } })
    await manage().fetch('api', { origins: [elsewhere.origin] })(request)
    expect(elsewhere.requests.map(({ method, body, headers }) => [method, body, headers['x-own']])).toEqual([
      ['PUT', 'kept', '1'],
      ['PUT', 'kept', '1'],
    ])
  })

  test('T3 a Request beyond the limit is sent once, whole', async ({ manage, elsewhere }) => {
    elsewhere.answer = refuseFirst
    const request = new Request(`${elsewhere.origin}/x`, { method: 'PUT', body: 'a'.repeat(3 * 1024 * 1024) })
    expect((await manage().fetch('api', { origins: [elsewhere.origin] })(request)).status).toBe(401)
    expect(elsewhere.requests.map(({ body }) => body.length)).toEqual([3 * 1024 * 1024])
  })

  test('T3 a stream is sent once, the 401 surfaces, and the next call finds another token', async ({
    manage,
    elsewhere,
  }) => {
    elsewhere.answer = refuseFirst
    const call = manage().fetch('api', { baseUrl: elsewhere.origin })
    const stream = new Blob(['streamed']).stream()
    expect((await call('x', { method: 'POST', body: stream })).status).toBe(401)
    expect(elsewhere.requests.map(({ body }) => body)).toEqual(['streamed'])
    await expect.poll(async () => (await call('y')).status).toBe(200)
  })

  test('F10.02 an async iterator is sent once', async ({ manage, elsewhere }) => {
    elsewhere.answer = refuseFirst
    async function* parts() {
      yield new TextEncoder().encode('it')
      yield new TextEncoder().encode('erated')
    }
    const init = { method: 'POST', body: parts() as unknown as ReadableStream }
    expect((await manage().fetch('api', { baseUrl: elsewhere.origin })('x', init)).status).toBe(401)
    expect(elsewhere.requests.map(({ body }) => body)).toEqual(['iterated'])
  })
})

describe('T5 A3 where tokens go', () => {
  const evil: readonly (string | URL | Request)[] = [
    'https://evil.example/',
    '//evil.example/x',
    '/\\evil.example/x',
    '\t//evil.example',
    'https://api.example@evil.example/',
    'https://api.example.evil.example/',
    'https://api.example:444/',
    'https://xn--pi-6kc.example/',
    new URL('https://evil.example/'),
    new Request('https://evil.example/'),
    'http://api.example/',
    'ws://api.example/',
    'file:///etc/passwd',
    'data:text/plain,x',
    'blob:https://api.example/x',
    'https://user:pw@api.example/',
  ]
  for (const input of evil) {
    const shown = typeof input === 'string' ? JSON.stringify(input) : input.constructor.name
    test(`A3.01 A3.03 A3.04 N1.26 ${shown} is refused before a token is fetched`, async ({ manage, server }) => {
      const error = await rejection(manage().fetch('api', { baseUrl: 'https://api.example/' })(input))
      expect(error).toMatchObject({ name: 'ConfigurationError', code: 'destination_refused' })
      expect(error.message).not.toContain('pw')
      expect(server.requests).toHaveLength(0)
    })
  }

  test('A3.01 https:evil.example has no authority of its own: it stays on the base', async ({ manage, elsewhere }) => {
    const base = elsewhere.origin
    await manage().fetch('api', { baseUrl: base })('http:evil.example')
    expect(elsewhere.requests.map(({ url }) => url)).toEqual(['/evil.example'])
  })

  test('A3.01 upper case and default ports are the same origin', async ({ manage, server }) => {
    const authorizer = manage().authorizer('api', { baseUrl: 'https://api.example/' })
    await authorizer.begin({ method: 'GET', url: new URL('HTTPS://API.EXAMPLE:443/x') })
    expect(server.requests).toHaveLength(1)
  })

  test('a relative URL without a base is refused', async ({ manage, elsewhere }) => {
    const error = await rejection(manage().fetch('api', { origins: [elsewhere.origin] })('x'))
    expect(error.code).toBe('url_invalid')
  })

  const invalid: readonly { readonly name: string; readonly destination: unknown }[] = [
    { name: 'not a URL', destination: { baseUrl: 'api' } },
    { name: 'http', destination: { baseUrl: 'http://api.example' } },
    { name: 'user info', destination: { baseUrl: 'https://u:p@api.example' } },
    { name: 'a query', destination: { baseUrl: 'https://api.example/?x' } },
    { name: 'a fragment', destination: { baseUrl: 'https://api.example/#x' } },
    { name: 'an origin with a path', destination: { origins: ['https://api.example/x'] } },
    { name: 'no origin', destination: { origins: [] } },
    { name: 'nothing', destination: {} },
  ]
  for (const { name, destination } of invalid) {
    test(`a destination with ${name} is refused at creation`, ({ manage }) => {
      const tokens = manage()
      expect(() => tokens.fetch('api', destination as Destination)).toThrow(/client "api": expected/)
    })
  }

  for (const status of [301, 302, 303, 307, 308]) {
    test(`T5 A3.02 a ${status} on the same origin is followed with the token`, async ({ manage, elsewhere }) => {
      elsewhere.answer = (request) =>
        request.url === '/from'
          ? { status, headers: { location: '/to' } }
          : { body: `${request.method} ${bearer(request)}` }
      expect(await (await manage().fetch('api', { baseUrl: elsewhere.origin })('from')).text()).toBe('GET token-1')
    })

    test(`T5 A3.02 a ${status} to another origin is followed without token, cookies and own headers`, async ({
      manage,
      server,
      elsewhere,
    }) => {
      const tokens = manage()
      await tokens.getToken('api')
      elsewhere.answer = () => ({ status, headers: { location: `${server.origin}/evil` } })
      server.answer = () => ({ body: 'reached' })
      const headers = { cookie: 'a=b', 'x-api-key': 'k', dpop: 'p', accept: 'text/x', 'proxy-authorization': 'x' }
      expect(await (await tokens.fetch('api', { baseUrl: elsewhere.origin })('from', { headers })).text()).toBe(
        'reached',
      )
      const seen = server.requests.at(-1)?.headers ?? {}
      expect(seen.accept).toBe('text/x')
      for (const name of ['authorization', 'dpop', 'cookie', 'x-api-key', 'proxy-authorization'])
        expect(seen[name]).toBeUndefined()
    })
  }

  test('A3.02 a POST becomes a GET on 303, keeps its body on 307', async ({ manage, elsewhere }) => {
    elsewhere.answer = (request) =>
      request.url === '/to' ? { body: 'x' } : { status: Number(request.url.slice(1)), headers: { location: '/to' } }
    const call = manage().fetch('api', { baseUrl: elsewhere.origin })
    for (const status of ['303', '307'])
      await (await call(status, { method: 'POST', body: 'b', headers: { 'content-type': 'x/y' } })).text()
    const arrived = elsewhere.requests.filter(({ url }) => url === '/to')
    expect(arrived.map(({ method, body, headers }) => [method, body, headers['content-type']])).toEqual([
      ['GET', '', undefined],
      ['POST', 'b', 'x/y'],
    ])
  })

  test('A3.02 a body does not follow to another origin', async ({ manage, server, elsewhere }) => {
    elsewhere.answer = () => ({ status: 307, headers: { location: `${server.origin}/evil` } })
    const error = await rejection(
      manage().fetch('api', { baseUrl: elsewhere.origin })('x', { method: 'POST', body: 'b' }),
    )
    expect(error).toMatchObject({ name: 'TransportError', code: 'redirect_refused' })
    expect(server.requests.map(({ url }) => url)).toEqual(['/token'])
  })

  test('A3.02 a chain that comes back does not get the token back', async ({ manage, server, elsewhere }) => {
    const tokens = manage()
    await tokens.getToken('api')
    elsewhere.answer = (request) =>
      request.url === '/from'
        ? { status: 302, headers: { location: `${server.origin}/over` } }
        : { body: bearer(request) }
    server.answer = () => ({ status: 302, headers: { location: `${elsewhere.origin}/back` } })
    expect(await (await tokens.fetch('api', { baseUrl: elsewhere.origin })('from')).text()).toBe('none')
  })

  for (const location of ['http://evil.example/', 'file:///x', 'https://u:p@evil.example/', 'http://']) {
    test(`A3.02 A3.03 a redirect to ${location} is refused`, async ({ manage, elsewhere }) => {
      elsewhere.answer = () => ({ status: 302, headers: { location } })
      const error = await rejection(manage().fetch('api', { baseUrl: elsewhere.origin })('x'))
      expect(error).toMatchObject({ name: 'TransportError', code: 'redirect_refused' })
    })
  }

  test('a redirect loop ends', async ({ manage, elsewhere }) => {
    elsewhere.answer = () => ({ status: 302, headers: { location: '/again' } })
    expect((await rejection(manage().fetch('api', { baseUrl: elsewhere.origin })('x'))).code).toBe('redirect_refused')
    expect(elsewhere.requests).toHaveLength(21)
  })

  test('redirect: manual gives the redirect to the caller', async ({ manage, elsewhere }) => {
    elsewhere.answer = () => ({ status: 302, headers: { location: '/x' } })
    const call = manage().fetch('api', { baseUrl: elsewhere.origin })
    expect((await call('x', { redirect: 'manual' })).status).toBe(302)
    expect((await call(new Request(`${elsewhere.origin}/y`, { redirect: 'manual' }))).status).toBe(302)
  })

  test('A3.09 two APIs of one client have a token each', async ({ manage, elsewhere }) => {
    elsewhere.answer = (request) => ({ body: bearer(request) })
    const tokens = manage()
    const a = tokens.fetch('api', { baseUrl: elsewhere.origin }, { resource: 'urn:a' })
    const b = tokens.fetch('api', { baseUrl: elsewhere.origin }, { resource: 'urn:b' })
    const texts = [await a('x'), await b('x'), await a('x')].map((response) => response.text())
    expect(await Promise.all(texts)).toEqual(['token-1', 'token-2', 'token-1'])
  })
})

describe('T9 F10 manners', () => {
  test('T9 F10.07 the caller’s init, headers and body are never changed', async ({ manage, elsewhere }) => {
    elsewhere.answer = refuseFirst
    const headers = new Headers({ 'x-own': '1' })
    const init = Object.freeze({ method: 'post', headers, body: 'b' })
    const call = manage().fetch('api', { baseUrl: elsewhere.origin })
    await call('x', init)
    await call('x', { headers: [['x-own', '2']] })
    await call('x', { headers: Object.freeze({ 'X-Own': '3' }) })
    expect([...headers]).toEqual([['x-own', '1']])
    expect(elsewhere.requests.map((seen) => seen.headers['x-own'])).toEqual(['1', '1', '2', '3'])
  })

  test('F10.06 T9 a thousand retries leak no connection', async ({ manage, server, elsewhere, clock }) => {
    let refused = ''
    elsewhere.answer = (request) => (bearer(request) === refused ? refuse : { body: 'ok' })
    const tokens = manage()
    const call = tokens.fetch('api', { baseUrl: elsewhere.origin })
    for (let n = 0; n < 1000; n++) {
      refused = (await tokens.getToken('api')).accessToken
      expect(await (await call('x')).text()).toBe('ok')
      await clock.advance(61_000)
    }
    expect(elsewhere.requests.length).toBeGreaterThanOrEqual(2000)
    expect(elsewhere.openSockets + server.openSockets).toBeLessThanOrEqual(6)
  })

  for (const method of ['HEAD', 'OPTIONS', 'DELETE', 'PATCH']) {
    test(`F10.06 ${method} passes through`, async ({ manage, elsewhere }) => {
      elsewhere.answer = () => ({ status: 200 })
      await manage().fetch('api', { baseUrl: elsewhere.origin })('x', { method })
      expect(elsewhere.requests[0]?.method).toBe(method)
    })
  }

  for (const status of [204, 304, 206]) {
    test(`F10.06 a ${status} passes through`, async ({ manage, elsewhere }) => {
      elsewhere.answer = () => ({ status })
      expect((await manage().fetch('api', { baseUrl: elsewhere.origin })('x')).status).toBe(status)
    })
  }

  test('F10.06 server-sent events arrive as they are sent', async ({ manage, elsewhere }) => {
    elsewhere.answer = () => (response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: 1\n\n')
    }
    const response = await manage().fetch('api', { baseUrl: elsewhere.origin })('x')
    const reader = response.body?.getReader()
    expect(new TextDecoder().decode((await reader?.read())?.value)).toBe('data: 1\n\n')
    await reader?.cancel()
  })

  test('F10.08 the caller’s signal ends the call; the token that was on its way is kept', async ({
    manage,
    server,
    elsewhere,
  }) => {
    const tokens = manage()
    const abort = new AbortController()
    const call = rejection(tokens.fetch('api', { baseUrl: elsewhere.origin })('x', { signal: abort.signal }))
    await server.nextRequest()
    abort.abort(new Error('enough'))
    expect((await call).message).toBe('enough')
    expect((await tokens.getToken('api')).accessToken).toBe('token-1')
    expect([server.requests.length, elsewhere.requests.length]).toEqual([1, 0])
  })

  test('what a Request says is kept, also where the init beside it says nothing', async ({ manage, elsewhere }) => {
    const abort = new AbortController()
    const inits: RequestInit[] = []
    const fetch = async (_input: unknown, init?: RequestInit) => {
      inits.push(init ?? {})
      return new Response('{}')
    }
    const integrity = 'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='
    const own = { integrity, redirect: 'error', signal: abort.signal, cache: 'no-store' }
    const request = new Request(`${elsewhere.origin}/x`, own as RequestInit)
    const call = authorizedFetch(manage().authorizer('api', { origins: [elsewhere.origin] }), { fetch })
    await call(request, { redirect: undefined, signal: undefined } as unknown as AuthorizedFetchInit)
    expect(inits[0]).toMatchObject({ integrity, redirect: 'error', cache: 'no-store' })
    expect(inits[0]?.signal?.aborted).toBe(false)
    abort.abort()
    expect(inits[0]?.signal?.aborted).toBe(true)
  })

  test('any authorizer and any fetch can be put together', async ({ manage }) => {
    const seen: string[] = []
    const fetch = async (input: unknown, init?: RequestInit) => {
      seen.push(`${input} ${new Headers(init?.headers).get('authorization')}`)
      return new Response('{}')
    }
    const authorizer = manage().authorizer('api', { baseUrl: 'https://api.example' })
    await authorizedFetch(authorizer, { fetch, baseUrl: new URL('https://api.example/v1/') })('x')
    expect(seen).toEqual(['https://api.example/v1/x Bearer token-1'])
  })

  test('tokens of any source can be put on requests', async ({ elsewhere, clock }) => {
    elsewhere.answer = (request) => ({ body: bearer(request) })
    const token = { accessToken: 'static', tokenType: 'Bearer' as const, expiresAt: Number.MAX_SAFE_INTEGER }
    const source = chainSource(staticSource({ ...token, expiresAt: 1 }, { clock }), cachedSource(staticSource(token)))
    const call = authorizedFetch(authorizerFrom(source, { origins: [elsewhere.origin] }))
    expect(await (await call(`${elsewhere.origin}/x`)).text()).toBe('static')
    await expect(call('https://evil.example/')).rejects.toMatchObject({ code: 'destination_refused' })
  })

  test('a static source gives one token and says when it cannot', async ({ clock }) => {
    const token = { accessToken: 'one', tokenType: 'Bearer' as const, expiresAt: clock.now() + 1000 }
    const source = staticSource(token, { clock })
    const given = await source.getToken()
    expect(given.accessToken).toBe('one')
    expect((await rejection(source.getToken({ rejected: given }))).code).toBe('token_rejected')
    expect((await rejection(source.getToken({ forceRenewal: true }))).code).toBe('token_not_renewable')
    await clock.advance(1000)
    expect((await rejection(source.getToken())).code).toBe('token_expired')
  })
})
