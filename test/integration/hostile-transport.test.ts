import { createServer, type Socket } from 'node:net'
import { inspect } from 'node:util'
import { createTokenManager } from 'evertoken'
import { describe, expect } from 'vitest'
import { clientOf, rejection, test } from '../support/fixtures.ts'
import { type Answer, hang, reset, tokenJson } from '../support/hostile-server.ts'
import { settle } from '../support/test-clock.ts'

const TOKEN = JSON.stringify({ access_token: 'the-token', token_type: 'Bearer', expires_in: 60 })

/** Writes bytes as they are, whatever HTTP says. */
function raw(text: string, { thenEnd = true } = {}): Answer {
  return (_response, socket) => {
    socket.write(text)
    if (thenEnd) socket.end()
  }
}

describe('F1 no answer', () => {
  test('F1.01 a refused connection is a TransportError that keeps its cause', async ({ manage, server }) => {
    await server.shut()
    const error = await rejection(manage().getToken('api'))
    expect(error).toMatchObject({ name: 'TransportError', code: 'unreachable', retryable: true, ambiguous: false })
    expect(error.message).toContain('ECONNREFUSED')
    expect((error.cause as Error).cause).toMatchObject({ code: 'ECONNREFUSED' })
  })

  test('F1.03 a body that drips is cut off at the same deadline as a silent server', async ({
    manage,
    server,
    clock,
  }) => {
    let drop = (): void => {}
    let isCut = false
    server.answer = () => (response) => {
      response.once('close', () => {
        isCut = true
      })
      response.writeHead(200, { 'content-type': 'application/json' })
      drop = () => response.write(' ')
    }
    const pending = rejection(manage().getToken('api'))
    await server.nextRequest()
    for (let ms = 0; ms < 10_000; ms += 500) {
      drop()
      await clock.advance(500)
    }
    expect(await pending).toMatchObject({ name: 'TransportError', code: 'timeout', ambiguous: true })
    await expect.poll(() => isCut).toBe(true)
  })

  const cuts: readonly { readonly name: string; readonly answer: Answer }[] = [
    { name: 'a reset before headers', answer: reset },
    {
      name: 'a reset in mid body',
      answer: (response, socket) => {
        response.writeHead(200, { 'content-type': 'application/json', 'content-length': '500' })
        response.write(TOKEN.slice(0, 20), () => socket.resetAndDestroy())
      },
    },
    {
      name: 'a body shorter than its Content-Length',
      answer: raw(`HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 5000\r\n\r\n${TOKEN}`),
    },
  ]
  for (const { name, answer } of cuts) {
    test(`F1.04 ${name} is a lost connection: ambiguous, retryable, tried again`, async ({ manage, server }) => {
      server.answer = () => answer
      const error = await rejection(manage().getToken('api'))
      expect(error).toMatchObject({ name: 'TransportError', code: 'connection_lost', retryable: true, ambiguous: true })
      expect(server.requests).toHaveLength(3)
    })
  }

  test('A2.02 A2.05 bytes that are no HTTP and quote the request do not stay in the error', async ({
    manage,
    server,
  }) => {
    const secret = 'a-long-enough-secret'
    server.answer = () => raw(`${secret} is no HTTP\r\n\r\n`)
    const error = await rejection(manage().getToken('api'))
    expect(error).toMatchObject({ name: 'TransportError', retryable: true })
    expect(error.cause).toBeInstanceOf(Error)
    const shown = inspect(error, { depth: 20, showHidden: true })
    for (const form of [secret, Buffer.from(secret).toString('hex').replace(/../g, '$& ').slice(0, 30)]) {
      expect(shown).not.toContain(form)
    }
    expect(shown).not.toContain('data:')
  })

  test('F1.05 a name that does not resolve is named so', async ({ manage }) => {
    const lookup = Object.assign(new Error('getaddrinfo ENOTFOUND as.invalid'), { code: 'ENOTFOUND' })
    const failing = () => Promise.reject(Object.assign(new TypeError('fetch failed'), { cause: lookup }))
    const error = await rejection(manage({}, { fetch: failing }).getToken('api'))
    expect(error).toMatchObject({ name: 'TransportError', code: 'dns', retryable: true })
  })

  test('F1.05 a resolver that hangs is cut off at the deadline', async ({ manage, clock }) => {
    const pending = rejection(manage({}, { fetch: () => new Promise(() => {}) }).getToken('api'))
    await settle()
    await clock.advance(10_000)
    expect((await pending).code).toBe('timeout')
  })

  for (const status of [301, 302, 303, 307, 308]) {
    test(`F1.07 N14.09 a ${status} is not followed: not a byte reaches the other host`, async ({
      manage,
      server,
      elsewhere,
    }) => {
      server.answer = () => ({ status, headers: { location: elsewhere.tokenEndpoint } })
      const error = await rejection(manage().getToken('api'))
      expect(error).toMatchObject({ name: 'TokenResponseError', code: 'redirect_refused', status })
      expect(elsewhere.requests).toHaveLength(0)
    })
  }

  test('F1.08 a proxy is used only where fetch is given one; its 407 is a typed error', async ({ manage, server }) => {
    server.answer = () => ({ status: 407, headers: { 'proxy-authenticate': 'Basic' } })
    expect(await rejection(manage().getToken('api'))).toMatchObject({ name: 'TransportError', code: 'network' })
  })

  test('F1.09 a keep-alive connection that the server closes as it is used again is no failure', async ({ manage }) => {
    // A server that answers one request per connection and says otherwise.
    const sockets: Socket[] = []
    const tcp = createServer((socket) => {
      sockets.push(socket)
      socket.on('error', () => {})
      let answered = false
      socket.on('data', () => {
        if (answered) return void socket.resetAndDestroy()
        answered = true
        socket.write(
          `HTTP/1.1 200 OK\r\nconnection: keep-alive\r\ncontent-type: application/json\r\ncontent-length: ${TOKEN.length}\r\n\r\n${TOKEN}`,
        )
      })
    }).listen(0, '127.0.0.1')
    await new Promise((resolve) => tcp.once('listening', resolve))
    const { port } = tcp.address() as { port: number }
    const tokens = manage({ tokenEndpoint: `http://127.0.0.1:${port}/token` })
    for (let n = 0; n < 5; n++)
      expect((await tokens.getToken('api', { partition: String(n) })).accessToken).toBe('the-token')
    for (const socket of sockets) socket.destroy()
    tcp.close()
  })

  const oddities: readonly { readonly name: string; readonly answer: Answer }[] = [
    {
      name: '103 early hints',
      answer: (response) => {
        response.writeEarlyHints({ link: '</x>; rel=preload' })
        response.writeHead(200, { 'content-type': 'application/json' }).end(TOKEN)
      },
    },
    {
      name: 'HTTP/1.0 without length',
      answer: raw(`HTTP/1.0 200 OK\r\ncontent-type: application/json\r\n\r\n${TOKEN}`),
    },
    {
      name: 'chunks with trailers',
      answer: raw(
        `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\ntrailer: x\r\n\r\n${TOKEN.length.toString(16)}\r\n${TOKEN}\r\n0\r\nx: y\r\n\r\n`,
      ),
    },
  ]
  for (const { name, answer } of oddities) {
    test(`F1.10 ${name} works`, async ({ manage, server }) => {
      server.answer = () => answer
      expect((await manage().getToken('api')).accessToken).toBe('the-token')
    })
  }
})

describe('A8.03 waiting callers', () => {
  test('ten thousand callers of a hung server use one connection and are all freed', async ({
    manage,
    server,
    clock,
  }) => {
    server.answer = () => hang
    const tokens = manage()
    const waiting = Array.from({ length: 10_000 }, () => tokens.getToken('api'))
    const all = Promise.allSettled(waiting)
    await server.nextRequest()
    expect(server.openSockets).toBe(1)
    await clock.advance(10_000)
    expect(new Set((await all).map(({ status }) => status))).toEqual(new Set(['rejected']))
  })
})

describe('M16 discovery', () => {
  const documentOf = (origin: string, members = {}) => ({
    body: JSON.stringify({ issuer: origin, token_endpoint: `${origin}/token`, ...members }),
  })

  test('M16 100 cold calls cost one request for metadata', async ({ manage, server }) => {
    server.answer = (request) => (request.url === '/token' ? tokenJson()(request) : documentOf(server.origin))
    const tokens = manage({ tokenEndpoint: undefined, issuer: server.origin })
    await Promise.all(Array.from({ length: 100 }, (_, i) => tokens.getToken('api', { partition: String(i) })))
    expect(server.requests.filter(({ method }) => method === 'GET')).toHaveLength(1)
  })

  test('M16 clients of one issuer share its metadata', async ({ server }) => {
    server.answer = (request) => (request.url === '/token' ? tokenJson()(request) : documentOf(server.origin))
    const client = { ...clientOf(server), tokenEndpoint: undefined, issuer: server.origin }
    const tokens = createTokenManager({ clients: { a: client, b: { ...client, clientId: 'b' } } })
    await Promise.all([tokens.getToken('a'), tokens.getToken('b')])
    expect(server.requests.filter(({ method }) => method === 'GET')).toHaveLength(1)
    await tokens.close()
  })

  test('N5.02 an issuer with a path is asked for in both places', async ({ manage, server }) => {
    const issuer = `${server.origin}/t/1`
    server.answer = (request) =>
      request.url === '/token'
        ? tokenJson()(request)
        : request.url.startsWith('/.well-known/oauth')
          ? { body: JSON.stringify({ issuer, token_endpoint: server.tokenEndpoint }) }
          : { status: 404 }
    await manage({ tokenEndpoint: undefined, issuer }).getToken('api')
    expect(server.requests.map(({ url }) => url)).toEqual([
      '/t/1/.well-known/openid-configuration',
      '/.well-known/oauth-authorization-server/t/1',
      '/token',
    ])
  })

  const lookalikes = ['case', 'slash', 'path', 'port', 'scheme'] as const
  const forged = (origin: string): Record<(typeof lookalikes)[number], string> => ({
    case: origin.replace('http', 'HTTP'),
    slash: `${origin}/`,
    path: `${origin}/tenant`,
    port: origin.replace(/\d+$/, '1'),
    scheme: origin.replace('http:', 'https:'),
  })
  for (const kind of lookalikes) {
    test(`N5.01 A11 N2.02 metadata whose issuer differs by ${kind} is not used at all`, async ({ manage, server }) => {
      server.answer = () => documentOf(server.origin, { issuer: forged(server.origin)[kind] })
      const error = await rejection(manage({ tokenEndpoint: undefined, issuer: server.origin }).getToken('api'))
      expect(error).toMatchObject({ name: 'TokenResponseError', code: 'issuer_mismatch' })
      expect(server.requests.filter(({ method }) => method === 'POST')).toHaveLength(0)
    })
  }

  const bad: readonly { readonly name: string; readonly answer: Answer; readonly code: string }[] = [
    { name: 'HTML', answer: { headers: { 'content-type': 'text/html' }, body: '<html>' }, code: 'response_not_json' },
    { name: '404 twice', answer: { status: 404 }, code: 'metadata_invalid' },
    { name: '302', answer: { status: 302, headers: { location: 'http://127.0.0.1:1/' } }, code: 'redirect_refused' },
    { name: 'cut JSON', answer: { body: '{"issuer":"ht' }, code: 'response_not_json' },
    { name: 'a list', answer: { body: '[]' }, code: 'response_not_json' },
    { name: '500', answer: { status: 500 }, code: 'metadata_invalid' },
  ]
  for (const { name, answer, code } of bad) {
    test(`N5.03 ${name} is a typed error, and no endpoint is taken from it`, async ({ manage, server }) => {
      server.answer = () => answer
      const error = await rejection(manage({ tokenEndpoint: undefined, issuer: server.origin }).getToken('api'))
      expect(error).toMatchObject({ name: 'TokenResponseError', code })
      expect(server.requests.every(({ method }) => method === 'GET')).toBe(true)
    })
  }

  const endpoints = [
    'http://as.example/token',
    'javascript:alert(1)',
    'data:,x',
    'file:///etc/passwd',
    'https://u:p@as.example/',
    'https://as.example/#f',
    '',
    7,
  ]
  for (const endpoint of endpoints) {
    test(`N5.04 the token endpoint ${endpoint} is refused`, async ({ manage, server }) => {
      server.answer = () => documentOf(server.origin, { token_endpoint: endpoint })
      const error = await rejection(manage({ tokenEndpoint: undefined, issuer: server.origin }).getToken('api'))
      expect(error).toMatchObject({ name: 'TokenResponseError', code: 'metadata_invalid' })
      expect(server.requests.every(({ method }) => method === 'GET')).toBe(true)
    })
  }

  test('N5.05 endpoints on a foreign origin are allowed', async ({ manage, server, elsewhere }) => {
    server.answer = () => documentOf(server.origin, { token_endpoint: elsewhere.tokenEndpoint })
    expect((await manage({ tokenEndpoint: undefined, issuer: server.origin }).getToken('api')).accessToken).toBe(
      'token-1',
    )
    expect(elsewhere.requests).toHaveLength(1)
  })

  test('N5.06 the last good copy is served for a day, and refreshed behind', async ({
    manage,
    server,
    clock,
    recorder,
  }) => {
    let isDown = false
    server.answer = (request) => {
      if (request.url === '/token') return tokenJson()(request)
      return isDown ? { status: 500 } : documentOf(server.origin)
    }
    const tokens = manage({ tokenEndpoint: undefined, issuer: server.origin })
    await tokens.getToken('api')
    isDown = true
    for (let hour = 1; hour < 24; hour++) {
      await clock.advance(3_600_000)
      await tokens.getToken('api', { partition: String(hour) })
    }
    await expect.poll(() => recorder.events.some(({ name }) => name === 'metadata_stale')).toBe(true)
    await clock.advance(3_600_000)
    expect((await rejection(tokens.getToken('api', { partition: 'too late' }))).code).toBe('metadata_invalid')
    isDown = false
    await clock.advance(60_000)
    await tokens.getToken('api', { partition: 'again' })
  })

  test('N5.07 signed metadata is ignored as a whole', async ({ manage, server }) => {
    server.answer = (request) =>
      request.url === '/token' ? tokenJson()(request) : documentOf(server.origin, { signed_metadata: 'not.a.jwt' })
    expect((await manage({ tokenEndpoint: undefined, issuer: server.origin }).getToken('api')).tokenType).toBe('Bearer')
  })

  test('A3.06 a token endpoint that moves to another origin is reported', async ({
    manage,
    server,
    elsewhere,
    clock,
    recorder,
  }) => {
    let at = server.tokenEndpoint
    server.answer = (request) =>
      request.url === '/token' ? tokenJson()(request) : documentOf(server.origin, { token_endpoint: at })
    const tokens = manage({ tokenEndpoint: undefined, issuer: server.origin })
    await tokens.getToken('api')
    at = elsewhere.tokenEndpoint
    await clock.advance(3_600_000)
    const refreshed = server.nextRequest()
    await tokens.getToken('api', { partition: 'x' })
    await refreshed
    await expect
      .poll(() => recorder.events)
      .toContainEqual({
        name: 'token_endpoint_moved',
        issuer: server.origin,
        from: server.origin,
        to: elsewhere.origin,
      })
  })

  test('discovery has a deadline of five seconds', async ({ manage, server, clock }) => {
    server.answer = () => hang
    const pending = rejection(manage({ tokenEndpoint: undefined, issuer: server.origin }).getToken('api'))
    await server.nextRequest()
    await clock.advance(5000)
    expect(await pending).toMatchObject({ name: 'TransportError', code: 'timeout' })
  })
})
