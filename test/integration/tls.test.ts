import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Fetch } from 'evertoken'
import { describe, expect } from 'vitest'
import { rejection, test } from '../support/fixtures.ts'
import { startHostileServer } from '../support/hostile-server.ts'
import { root } from '../support/manifest.ts'
import { fetchWith, startStalledServer, startTlsServer, type TlsServer } from '../support/tls.ts'

const run = promisify(execFile)

/** Counts what goes out. Nothing is kept alive between two calls, so a call is a connection. */
function counted(fetch: Fetch): Fetch & { readonly calls: number } {
  let calls = 0
  const counting: Fetch = (input, init) => {
    calls++
    return fetch(input, init)
  }
  return Object.defineProperty(counting, 'calls', { get: () => calls }) as Fetch & { readonly calls: number }
}

const ways: readonly { readonly name: string; readonly fetchFor: (server: TlsServer) => Fetch }[] = [
  { name: 'the fetch of the platform', fetchFor: () => globalThis.fetch },
  { name: 'a fetch that trusts the authority', fetchFor: ({ ca }) => fetchWith({ ca }) },
]

describe('F1.06 a server that cannot be trusted', () => {
  const faults = ['self-signed', 'expired', 'not-yet-valid', 'wrong-host', 'unknown-authority', 'tls-1.1'] as const
  for (const { name, fetchFor } of ways) {
    for (const fault of faults) {
      test(`F1.06 N1.27 ${fault}, ${name}: refused, once, without a byte of the request`, async ({
        manage,
        clock,
        recorder,
      }) => {
        await using server = await startTlsServer(fault)
        const fetch = counted(fetchFor(server))
        const tokens = manage({ tokenEndpoint: server.tokenEndpoint }, { fetch })
        const error = await rejection(tokens.getToken('api'))
        expect(error).toMatchObject({ name: 'TransportError', code: 'tls', retryable: false, ambiguous: false })
        expect(error.cause).toBeInstanceOf(Error)
        expect(fetch.calls).toBe(1)
        // Nobody can mend that but a person: callers get the same answer for a while, without a connection.
        await clock.advance(1000)
        expect((await rejection(tokens.getToken('api'))).code).toBe('tls')
        expect(fetch.calls).toBe(1)
        expect(server.requests).toHaveLength(0)
        expect(clock.pending).toBe(0)
        expect(recorder.events).toEqual([])
      })
    }
  }

  test('F1.06 a server that does not speak TLS at all is refused likewise', async ({ manage }) => {
    await using server = await startHostileServer()
    const fetch = counted(globalThis.fetch)
    const tokenEndpoint = server.tokenEndpoint.replace('http:', 'https:')
    const error = await rejection(manage({ tokenEndpoint }, { fetch }).getToken('api'))
    expect(error).toMatchObject({ name: 'TransportError', code: 'tls', retryable: false })
    expect(fetch.calls).toBe(1)
    expect(server.requests).toHaveLength(0)
  })

  test('F1.06 an issuer that cannot be trusted gives no metadata either', async ({ manage }) => {
    await using server = await startTlsServer('unknown-authority')
    const members = { tokenEndpoint: undefined, issuer: server.origin }
    const error = await rejection(manage(members, { fetch: fetchWith({ ca: server.ca }) }).getToken('api'))
    expect(error).toMatchObject({ name: 'TransportError', code: 'tls', retryable: false })
    expect(server.requests).toHaveLength(0)
  })

  test('F1.06 a server that gets a good certificate is asked again after the pause', async ({ manage, clock }) => {
    await using bad = await startTlsServer('expired')
    await using good = await startTlsServer()
    let isMended = false
    const fetch: Fetch = (_, init) => fetchWith({ ca: good.ca })((isMended ? good : bad).tokenEndpoint, init)
    const tokens = manage({ tokenEndpoint: bad.tokenEndpoint }, { fetch })
    expect((await rejection(tokens.getToken('api'))).code).toBe('tls')
    isMended = true
    await clock.advance(5000)
    expect((await tokens.getToken('api')).accessToken).toBe('token-1')
  })
})

describe('F1.06 a server of a private authority', () => {
  test('F1.06 is reached through a fetch that trusts it', async ({ manage }) => {
    await using server = await startTlsServer()
    const tokens = manage({ tokenEndpoint: server.tokenEndpoint }, { fetch: fetchWith({ ca: server.ca }) })
    expect((await tokens.getToken('api')).accessToken).toBe('token-1')
    expect(server.requests[0]?.form.get('grant_type')).toBe('client_credentials')
  })

  test('F1.06 one client has a fetch of its own, the others do not trust the authority for that', async ({
    manage,
  }) => {
    await using server = await startTlsServer()
    const { tokenEndpoint } = server
    const trusting = manage({ tokenEndpoint, fetch: fetchWith({ ca: server.ca }) })
    expect((await trusting.getToken('api')).accessToken).toBe('token-1')
    expect((await rejection(manage({ tokenEndpoint }).getToken('api'))).code).toBe('tls')
  })

  const SCRIPT = `
    import { clientSecretBasic, createTokenManager } from 'evertoken'
    const authentication = clientSecretBasic('a-long-enough-secret')
    const api = { tokenEndpoint: process.argv[1], clientId: 'machine', authentication }
    const tokens = createTokenManager({ clients: { api } })
    const shown = await tokens.getToken('api').then(({ accessToken }) => accessToken, ({ code }) => code)
    process.stdout.write(shown)
  `
  const script = async (server: TlsServer, env: Readonly<Record<string, string>>): Promise<string> => {
    const args = ['--input-type=module', '--eval', SCRIPT, server.tokenEndpoint]
    return (await run(process.execPath, args, { cwd: root, env: { ...process.env, ...env } })).stdout
  }

  test('F1.06 is reached by a process that was told to trust it, and by no other', async () => {
    await using server = await startTlsServer()
    const folder = await mkdtemp(join(tmpdir(), 'ca-'))
    const file = join(folder, 'ca.pem')
    await writeFile(file, server.ca)
    expect(await script(server, { NODE_EXTRA_CA_CERTS: file })).toBe('token-1')
    expect(await script(server, {})).toBe('tls')
    expect(server.requests).toHaveLength(1)
    await rm(folder, { recursive: true })
  })

  test('N1.27 no variable of the environment that we could think of makes it trusted', async () => {
    await using server = await startTlsServer()
    const names = ['INSECURE', 'EVERTOKEN_INSECURE', 'EVERTOKEN_ALLOW_INSECURE', 'OAUTH_INSECURE', 'ALLOW_INSECURE']
    expect(await script(server, Object.fromEntries(names.map((name) => [name, '1'])))).toBe('tls')
    expect(server.requests).toHaveLength(0)
  })

  for (const option of ['insecure', 'rejectUnauthorized', 'strictSSL', 'verify']) {
    test(`N1.27 there is no option "${option}", of a client or of a manager`, ({ manage }) => {
      const refusal = { name: 'ConfigurationError', code: 'option_unknown' }
      expect(() => manage({ [option]: false } as never)).toThrow(expect.objectContaining(refusal))
      expect(() => manage({}, { [option]: false } as never)).toThrow(expect.objectContaining(refusal))
    })
  }
})

describe('F1.06 a handshake that stalls', () => {
  for (const { name, fetch, left } of [
    // Node's own fetch lets go of the request, and of a connection that is still being made after 10 s of its own.
    { name: 'the fetch of the platform', fetch: globalThis.fetch, left: 1 },
    { name: 'a fetch of its own', fetch: fetchWith({}), left: 0 },
  ]) {
    test(`F1.06 ${name}: ends at the deadline, may be tried again, and leaves ${left} connections`, async ({
      manage,
      clock,
    }) => {
      await using server = await startStalledServer()
      const tokens = manage({ tokenEndpoint: `${server.origin}/token` }, { fetch })
      const connected = server.nextConnection()
      let isOver = false
      const pending = rejection(tokens.getToken('api')).finally(() => {
        isOver = true
      })
      await connected
      await clock.advance(9999)
      expect(isOver).toBe(false)
      await clock.advance(1)
      expect(await pending).toMatchObject({ name: 'TransportError', code: 'timeout', retryable: true })
      await expect.poll(() => server.openSockets).toBeLessThanOrEqual(left)
    })
  }

  test('F1.06 a caller that gives up is freed at once', async ({ manage }) => {
    await using server = await startStalledServer()
    const tokens = manage({ tokenEndpoint: `${server.origin}/token` })
    const connected = server.nextConnection()
    const abort = new AbortController()
    const pending = rejection(tokens.getToken('api', undefined, { signal: abort.signal }))
    await connected
    const reason = new Error('enough')
    abort.abort(reason)
    expect(await pending).toBe(reason)
  })
})
