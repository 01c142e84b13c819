import { createPrivateKey, randomBytes } from 'node:crypto'
import { buffer } from 'node:stream/consumers'
import { inspect } from 'node:util'
import { authorizedFetch, authorizerFrom, createTokenManager, none, staticSource } from 'evertoken'
import { clientCertificate } from 'evertoken/node'
import { describe, expect } from 'vitest'
import { test } from '../support/certificate-fixtures.ts'
import { createCertificateAuthority } from '../support/certificates.ts'
import { rejection } from '../support/fixtures.ts'
import { hang } from '../support/hostile-server.ts'
import { type EchoedRequest, startMtlsServer, thumbprintOf } from '../support/mtls-servers.ts'

const RUNS = 1000

/** Which of two clients a request is of. */
function ownerOf(path: string): 0 | 1 {
  return Number(path.slice(1)) % 2 === 0 ? 0 : 1
}

async function echoed(response: Promise<Response>): Promise<EchoedRequest> {
  return (await (await response).json()) as EchoedRequest
}

describe('the connections of a client certificate', () => {
  test('N7.04 A1.11 two certificates at one origin: each of 1,000 interleaved requests arrives with its own', async ({
    pairs,
    echo,
    open,
  }) => {
    const certificates = [open(pairs.blue), open(pairs.green)] as const
    const paths = Array.from({ length: RUNS }, (_, i) => `/${i}`)
    const seen: (readonly [path: string, thumbprint: string | null])[] = []
    const walk = async (): Promise<void> => {
      for (let path = paths.pop(); path !== undefined; path = paths.pop()) {
        const { fetch } = certificates[ownerOf(path)]
        const request = await echoed(fetch(`${echo.origin}${path}`))
        expect(request.path).toBe(path)
        seen.push([path, request.thumbprint])
      }
    }
    await Promise.all(Array.from({ length: 50 }, walk))
    expect(seen).toHaveLength(RUNS)
    expect(seen.filter(([path, thumbprint]) => thumbprint !== certificates[ownerOf(path)].thumbprint)).toEqual([])
    expect(certificates.map(({ thumbprint }) => thumbprint)).toEqual(
      [pairs.blue, pairs.green].map(({ cert }) => thumbprintOf(cert)),
    )
    // One after the other too, where a connection that is kept is what the next request finds.
    for (const certificate of [...certificates, ...certificates]) {
      expect((await echoed(certificate.fetch(echo.origin))).thumbprint).toBe(certificate.thumbprint)
    }
  })

  test('A1.11 two objects of one certificate share no connection', async ({ pairs, echo, open }) => {
    const [one, other] = [open(pairs.blue), open(pairs.blue)]
    await echoed(one.fetch(echo.origin))
    await echoed(other.fetch(echo.origin))
    await echoed(one.fetch(echo.origin))
    expect(echo.requests.map(({ connection }) => connection)).toEqual([1, 2, 1])
  })

  test('a dispatcher of the caller does not replace the certificate', async ({ pairs, echo, open }) => {
    const certificate = open(pairs.blue)
    const refusing: unknown = { dispatch: () => expect.unreachable() }
    const { thumbprint } = await echoed(certificate.fetch(echo.origin, { dispatcher: refusing } as RequestInit))
    expect(thumbprint).toBe(certificate.thumbprint)
  })

  test('a certificate and key in one text with their chain, and an encrypted key, are presented', async ({
    pairs: { blue },
    authority,
    echo,
    open,
  }) => {
    const bundle = [blue.key, blue.cert, authority.ca].join('\n')
    const certificate = open({ cert: bundle, key: bundle })
    expect((await echoed(certificate.fetch(echo.origin))).thumbprint).toBe(thumbprintOf(blue.cert))
    const passphrase = randomBytes(16).toString('hex')
    const cipher = { type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase } as const
    const encrypted = String(createPrivateKey(blue.key).export(cipher))
    const opened = open({ cert: blue.cert, key: encrypted, passphrase })
    expect((await echoed(opened.fetch(echo.origin))).thumbprint).toBe(thumbprintOf(blue.cert))
  })

  test('a server of an authority that was not named is refused before anything is sent', async ({
    pairs,
    authority,
    open,
  }) => {
    await using server = await startMtlsServer(authority, {
      tls: await (await createCertificateAuthority('Unknown')).issue(),
    })
    const error = await rejection(open(pairs.blue).fetch(server.origin, { method: 'POST', body: 'secret' }))
    expect(error.cause).toMatchObject({ code: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE' })
    expect(server.requests).toHaveLength(0)
  })

  test('a manager calls a refused server a failure of TLS', async ({ pairs, authority, open }) => {
    await using server = await startMtlsServer(authority, {
      tls: await (await createCertificateAuthority('Unknown')).issue(),
    })
    const api = { tokenEndpoint: server.tokenEndpoint, clientId: 'machine', authentication: none() }
    const tokens = createTokenManager({ clients: { api: { ...api, fetch: open(pairs.blue).fetch } } })
    expect(await rejection(tokens.getToken('api'))).toMatchObject({ name: 'TransportError', code: 'tls' })
    await tokens.close()
  })

  test.for([
    { name: 'http', url: 'http://127.0.0.1:1/', came: 'http:' },
    { name: 'no absolute URL', url: '/list', came: 'no absolute URL' },
  ])(
    'a request without TLS would go without the certificate, and is refused: $name',
    async ({ url, came }, { pairs, open }) => {
      expect(await rejection(open(pairs.blue).fetch(url))).toMatchObject({
        name: 'ConfigurationError',
        code: 'url_invalid',
        message: `clientCertificate: expected an https URL, got ${came}`,
      })
    },
  )
})

describe('fetch over a client certificate', () => {
  const form = new FormData()
  form.set('scope', 'read')
  const stream = (): ReadableStream => new Blob(['one ', 'two']).stream()
  const bodies = [
    { name: 'text', body: 'grant', type: 'text/plain;charset=UTF-8', sent: 'grant' },
    { name: 'parameters', body: new URLSearchParams({ a: 'b c' }), type: /^application\/x-www-form-/, sent: 'a=b+c' },
    { name: 'bytes', body: new TextEncoder().encode('{}'), type: null, sent: '{}' },
    { name: 'a blob', body: new Blob(['{}'], { type: 'text/json' }), type: 'text/json', sent: '{}' },
    { name: 'a form', body: form, type: /^multipart\/form-data; boundary=/, sent: /name="scope"\r\n\r\nread\r\n/ },
    { name: 'a stream', body: stream(), duplex: 'half', type: null, sent: 'one two' },
  ]

  test.for(bodies)('sends $name', async ({ body, type, sent, duplex }, { pairs, echo, open }) => {
    const headers = new Headers({ 'x-own': 'kept' })
    const init = { method: 'POST', body, headers, ...(duplex && { duplex }) } as RequestInit
    const seen = await echoed(open(pairs.blue).fetch(new URL(echo.origin), init))
    expect(seen).toMatchObject({
      method: 'POST',
      body: sent instanceof RegExp ? expect.stringMatching(sent) : sent,
      contentType: type instanceof RegExp ? expect.stringMatching(type) : type,
    })
    expect(echo.requests[0]?.headers['x-own']).toBe('kept')
  })

  test('takes a Request, and what is said beside it comes first', async ({ pairs, echo, open }) => {
    const request = new Request(`${echo.origin}/list`, { method: 'PUT', body: 'content', headers: { 'x-own': 'kept' } })
    const seen = await echoed(open(pairs.blue).fetch(request, { method: 'PATCH' }))
    expect(seen).toMatchObject({ path: '/list', method: 'PATCH', body: 'content', contentType: /^text\/plain/ })
    expect(echo.requests[0]?.headers['x-own']).toBe('kept')
  })

  test('gives the body as it comes, and headers to go through', async ({ pairs, authority, open }) => {
    let finish = (): void => {}
    await using server = await startMtlsServer(authority, {
      answer: () => (response) => {
        response.writeHead(200, { 'x-own': 'kept' }).write('first')
        finish = () => response.end('last')
      },
    })
    const response = await open(pairs.blue).fetch(server.origin)
    expect([...response.headers]).toContainEqual(['x-own', 'kept'])
    const reader = (response.body as ReadableStream<Uint8Array>).getReader()
    expect(Buffer.from((await reader.read()).value ?? []).toString()).toBe('first')
    finish()
    expect(Buffer.from((await reader.read()).value ?? []).toString()).toBe('last')
    expect((await reader.read()).done).toBe(true)
  })

  test('follows no redirect: the next hop may be another origin, or without TLS', async ({
    pairs,
    authority,
    server,
    open,
  }) => {
    await using mtls = await startMtlsServer(authority, {
      answer: () => ({ status: 307, headers: { location: `${server.origin}/plain` } }),
    })
    const certificate = open(pairs.blue)
    const body = new URLSearchParams({ client_assertion: 'secret' })
    for (const redirect of [undefined, 'follow', 'manual'] as const) {
      const init = { method: 'POST', body, ...(redirect !== undefined && { redirect }) }
      expect((await certificate.fetch(mtls.origin, init)).status).toBe(307)
    }
    expect(server.requests).toHaveLength(0)
    await expect(certificate.fetch(mtls.origin, { redirect: 'error' })).rejects.toThrow()
  })

  test('carries authorizedFetch over a redirect', async ({ pairs, authority, open }) => {
    await using server = await startMtlsServer(authority, {
      answer: ({ url, headers, body }) =>
        url === '/old'
          ? { status: 307, headers: { location: '/new' } }
          : { body: JSON.stringify({ url, body, authorization: headers.authorization }) },
    })
    const source = staticSource({ accessToken: 'token', tokenType: 'Bearer', expiresAt: Date.now() + 60_000 } as never)
    const authorizer = authorizerFrom(source, { baseUrl: server.origin })
    const api = authorizedFetch(authorizer, { fetch: open(pairs.blue).fetch })
    const response = await api(new Request(`${server.origin}/old`, { method: 'POST', body: 'content' }))
    expect(await response.json()).toEqual({ url: '/new', body: 'content', authorization: 'Bearer token' })
  })

  test('ends with the reason of the signal, before and after the request is under way', async ({
    pairs,
    authority,
    open,
  }) => {
    await using server = await startMtlsServer(authority, { answer: () => hang })
    const { fetch } = open(pairs.blue)
    const reason = new Error('enough')
    expect(await rejection(fetch(server.origin, { signal: AbortSignal.abort(reason) }))).toBe(reason)
    const controller = new AbortController()
    const failed = rejection(fetch(new Request(server.origin, { signal: controller.signal })))
    await server.nextRequest()
    controller.abort(reason)
    expect(await failed).toBe(reason)
  })
})

describe('close()', () => {
  test('leaves no socket and no timer, cuts what is under way and refuses what comes', async ({
    files,
    authority,
    clock,
    open,
  }) => {
    await using server = await startMtlsServer(authority, { answer: ({ url }) => (url === '/hang' ? hang : {}) })
    const certificate = open(files, { clock })
    await buffer((await certificate.fetch(server.origin)).body as never)
    const cut = rejection(certificate.fetch(`${server.origin}/hang`))
    await server.nextRequest()
    expect(clock.pending).toBe(1)
    await certificate.close()
    expect((await cut).cause).toMatchObject({ code: 'closed' })
    expect(clock.pending).toBe(0)
    for (const late of [certificate.fetch(server.origin), certificate.refresh()]) {
      expect(await rejection(late)).toMatchObject({ name: 'ConfigurationError', code: 'closed' })
    }
    await certificate.close()
    await noSockets(server)
    expect(server.requests).toHaveLength(2)
  })

  test('comes at the end of `await using`', async ({ pairs, authority, clock, files }) => {
    await using server = await startMtlsServer(authority)
    {
      await using certificate = clientCertificate({ ...files, ca: authority.ca }, { clock })
      expect((await echoed(certificate.fetch(server.origin))).thumbprint).toBe(thumbprintOf(pairs.blue.cert))
    }
    expect(clock.pending).toBe(0)
    await noSockets(server)
  })

  test('of a certificate that was never used does nothing', async ({ files, clock, open }) => {
    const certificate = open(files, { clock })
    await certificate.close()
    expect(clock.pending).toBe(0)
  })
})

test('shows nothing of the key', async ({ pairs: { blue }, echo, open }) => {
  const certificate = open({ ...blue, passphrase: 'a passphrase' })
  await echoed(certificate.fetch(echo.origin))
  const shown = inspect(certificate, { depth: 20, showHidden: true, getters: true }) + JSON.stringify(certificate)
  expect(shown).toContain(certificate.thumbprint)
  for (const line of [...blue.key.split('\n').slice(1, -2), 'a passphrase']) expect(shown).not.toContain(line)
})

/** Waits until a server has seen all connections end. */
async function noSockets(server: { readonly openSockets: number }): Promise<void> {
  await expect.poll(() => server.openSockets, { interval: 5 }).toBe(0)
}
