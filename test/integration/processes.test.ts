import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { describe, expect } from 'vitest'
import { test } from '../support/fixtures.ts'
import { errorJson, hang, tokenJson } from '../support/hostile-server.ts'
import { root } from '../support/manifest.ts'

interface Run {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs a module in a process of its own, as a user of the built package; `argument` is what it finds in `process.argv[1]`. */
async function run(script: string, argument: string, flags: readonly string[] = []): Promise<Run> {
  const args = [...flags, '--input-type=module', '--eval', PRELUDE + script, argument]
  const child = spawn(process.execPath, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] })
  const [[code], stdout, stderr] = await Promise.all([once(child, 'close'), text(child.stdout), text(child.stderr)])
  return { code, stdout, stderr }
}

const PRELUDE = `
  import { clientSecretBasic, createTokenManager, isEvertokenError } from 'evertoken'
  const origin = process.argv[1]
  const authentication = clientSecretBasic('a-long-enough-secret')
  const api = { tokenEndpoint: origin + '/token', clientId: 'machine', authentication }
  const show = (value) => process.stdout.write(JSON.stringify(value) + '\\n')
  const codeOf = (promise) => promise.then(() => 'no error', (error) => isEvertokenError(error) ? error.code : error.message)
`

describe('F8.03 a program that ends', () => {
  test('F8.03 one token, one call, close: no timer is left and the process exits by itself', async ({ server }) => {
    const result = await run(
      `
      const tokens = createTokenManager({ clients: { api } })
      const response = await tokens.fetch('api', { baseUrl: origin })('/data')
      await response.text()
      await tokens.close()
      show(process.getActiveResourcesInfo().filter((name) => name === 'Timeout'))
      `,
      server.origin,
    )
    expect(result).toEqual({ code: 0, stdout: '[]\n', stderr: '' })
    expect(server.requests.map(({ url }) => url)).toEqual(['/token', '/data'])
  })

  test('F8.03 a program that has nothing to do but to wait for another try gets its token', async ({ server }) => {
    // No connection that is kept open waits in its place.
    const headers = { connection: 'close' }
    server.answer = (request) => (request.n < 3 ? { ...errorJson(503, 'server_error'), headers } : tokenJson()(request))
    const script = `show((await createTokenManager({ clients: { api } }).getToken('api')).accessToken)`
    expect(await run(script, server.origin)).toEqual({ code: 0, stdout: '"token-3"\n', stderr: '' })
  })

  test('F8.03 nobody closes the manager: the process exits all the same', async ({ server }) => {
    const script = `show((await createTokenManager({ clients: { api } }).getToken('api')).accessToken)`
    expect(await run(script, server.origin)).toEqual({ code: 0, stdout: '"token-1"\n', stderr: '' })
  })

  test('F8.03 after a token request that failed nothing is left to wait for', async ({ server }) => {
    server.answer = () => errorJson(401, 'invalid_client')
    const script = `
      const tokens = createTokenManager({ clients: { api } })
      show(await codeOf(tokens.getToken('api')))
      show(process.getActiveResourcesInfo().filter((name) => name === 'Timeout'))
    `
    const result = await run(script, server.origin)
    expect(result).toEqual({ code: 0, stdout: '"client_refused"\n[]\n', stderr: '' })
  })
})

describe('F8.04 worker threads', () => {
  test('F8.04 each has its own memory, and each works', async ({ server }) => {
    const script = `
      import { once } from 'node:events'
      import { Worker } from 'node:worker_threads'
      const source = \`
        import { parentPort, workerData } from 'node:worker_threads'
        import { clientSecretBasic, createTokenManager } from \${JSON.stringify(import.meta.resolve('evertoken'))}
        const authentication = clientSecretBasic('a-long-enough-secret')
        const api = { tokenEndpoint: workerData, clientId: 'machine', authentication }
        const tokens = createTokenManager({ clients: { api } })
        const first = await tokens.getToken('api')
        const second = await tokens.getToken('api')
        parentPort.postMessage([first.accessToken, second.accessToken])
      \`
      const url = new URL('data:text/javascript,' + encodeURIComponent(source))
      const answers = await Promise.all([1, 2].map(async () => {
        const worker = new Worker(url, { workerData: origin + '/token' })
        const [[answer]] = await Promise.all([once(worker, 'message'), once(worker, 'exit')])
        return answer
      }))
      show(answers.sort())
    `
    const { code, stdout, stderr } = await run(script, server.origin)
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(JSON.parse(stdout)).toEqual([
      ['token-1', 'token-1'],
      ['token-2', 'token-2'],
    ])
    expect(server.requests).toHaveLength(2)
  })
})

describe('F8.05 the package twice in one process', () => {
  const SCRIPT = `
    import { createRequire } from 'node:module'
    const one = await import('evertoken')
    const ways = {
      query: () => import(import.meta.resolve('evertoken') + '?copy=2'),
      require: () => createRequire(process.cwd() + '/x.js')('evertoken'),
      install: () => import(process.env.OTHER_COPY),
    }
    const two = await ways[process.env.WAY]()
    const make = (copy, store) => copy.createTokenManager({
      store,
      clients: { api: { ...api, authentication: copy.clientSecretBasic('a-long-enough-secret') } },
    })
    const store = one.memoryStore()
    const [a, b] = [make(one, store), make(two, store)]
    const first = await a.getToken('api')
    show({
      isSameClass: one.ConfigurationError === two.ConfigurationError,
      shared: (await b.getToken('api')).accessToken,
      rejected: (await a.getToken('api', undefined, { rejected: await b.getToken('api') })).accessToken,
      mixed: (await two.cachedSource(a.source('api')).getToken()).accessToken,
      known: await two.cachedSource({ getToken: () => a.getToken('nobody') }).getToken().catch((error) => [
        one.isEvertokenError(error), two.isEvertokenError(error), error.code,
      ]),
      foreign: [one, two].map((copy) => copy.isEvertokenError(new Error('x'))),
    })
  `
  for (const { way, isSameClass } of [
    { way: 'query', isSameClass: true },
    { way: 'require', isSameClass: true },
    { way: 'install', isSameClass: false },
  ]) {
    test(`F8.05 ${way}: errors are known, tokens are refused and shared across the copies`, async ({ server }) => {
      const folder = await mkdtemp(join(tmpdir(), 'copy-'))
      await Promise.all([
        cp(`${root}dist`, join(folder, 'dist'), { recursive: true }),
        writeFile(join(folder, 'package.json'), '{"type":"module"}'),
        symlink(`${root}node_modules`, join(folder, 'node_modules')),
      ])
      const other = JSON.stringify(join(folder, 'dist', 'index.js'))
      const setUp = `process.env.WAY = '${way}'; process.env.OTHER_COPY = ${other};`
      const { code, stdout, stderr } = await run(setUp + SCRIPT, server.origin)
      await rm(folder, { recursive: true })
      expect({ code, stderr: way === 'require' ? '' : stderr }).toEqual({ code: 0, stderr: '' })
      expect(JSON.parse(stdout)).toEqual({
        isSameClass,
        shared: 'token-1',
        rejected: 'token-2',
        mixed: 'token-2',
        known: [true, true, 'client_unknown'],
        foreign: [false, false],
      })
    })
  }
})

describe('F8.06 rejections that nobody handles', () => {
  test('F8.06 there are none through everything that fails', async ({ server, elsewhere }) => {
    await elsewhere.shut()
    let given = 0
    server.answer = (request) => {
      if (request.url === '/hang') return hang
      if (request.url.startsWith('/api')) return { status: 401, headers: { 'www-authenticate': 'Bearer' } }
      return given++ === 0 ? tokenJson()(request) : errorJson(400, 'invalid_client')
    }
    const script = `
      let leapt = 0
      const clock = {
        now: () => Date.now() + leapt,
        wallTime: () => Date.now(),
        setTimer(callback, ms) {
          const timer = setTimeout(callback, ms)
          return () => clearTimeout(timer)
        },
      }
      const down = { ...api, tokenEndpoint: ${JSON.stringify(elsewhere.tokenEndpoint)} }
      const stuck = { ...api, tokenEndpoint: origin + '/hang' }
      const renewalFailed = Promise.withResolvers?.() ?? {}
      renewalFailed.promise ??= new Promise((resolve) => { renewalFailed.resolve = resolve })
      const telemetry = {
        run: (_, work) => work({}),
        note: ({ name }) => name === 'renewal_failed' && renewalFailed.resolve(name),
      }
      const tokens = createTokenManager({ clients: { api, down, stuck }, clock, telemetry })
      const call = tokens.fetch('api', { baseUrl: origin })

      show(await codeOf(tokens.getToken('down')))
      show(await codeOf(tokens.getToken('nobody')))
      show(await codeOf(tokens.getToken('api', { nothing: 1 })))
      // A caller that gives up, and a request that nobody waits for any more.
      const abort = new AbortController()
      const waiting = codeOf(tokens.getToken('stuck', undefined, { signal: abort.signal }))
      abort.abort(new Error('enough'))
      show(await waiting)
      show(await codeOf(tokens.getToken('stuck', undefined, { signal: AbortSignal.abort(new Error('early')) })))
      // A renewal behind the callers that fails.
      await tokens.getToken('api')
      leapt = 57 * 60_000
      await tokens.getToken('api')
      show(await renewalFailed.promise)
      // A refusal of a body that cannot be sent again: a renewal starts, fails, and nobody asked for it.
      const body = new Blob(['x']).stream()
      show((await call('/api', { method: 'POST', body })).status)
      const broken = new ReadableStream({ pull: (controller) => controller.error(new Error('torn')) })
      show((await call('/api', { method: 'POST', body: broken }).then(({ status }) => String(status), () => 'failed')))
      show(await codeOf(call('/api')))
      show(await codeOf(tokens.fetch('api', { baseUrl: origin })('https://elsewhere.example/')))
      // Whoever still waits when the manager is closed.
      const late = codeOf(tokens.getToken('down', { partition: 'late' }))
      await Promise.all([tokens.close(), tokens.close()])
      show(await late)
      show(await codeOf(tokens.getToken('api')))
    `
    const { code, stdout, stderr } = await run(script, server.origin, ['--unhandled-rejections=strict'])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(
      stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line)),
    ).toEqual([
      'unreachable',
      'client_unknown',
      'option_unknown',
      'enough',
      'early',
      'renewal_failed',
      401,
      'failed',
      'client_refused',
      'destination_refused',
      'unreachable',
      'closed',
    ])
  })
})

describe('A11.02 a hardened runtime', () => {
  for (const flags of [
    ['--frozen-intrinsics'],
    ['--disable-proto=throw'],
    ['--frozen-intrinsics', '--disable-proto=throw'],
  ]) {
    test(`A11.02 tokens are fetched, refused and replaced under ${flags.join(' ')}`, async ({ server }) => {
      server.answer = (request) => {
        if (request.url === '/token') return tokenJson()(request)
        const isGood = request.headers.authorization === 'Bearer token-3'
        return isGood
          ? { body: '"data"' }
          : { status: 401, headers: { 'www-authenticate': 'Bearer error="invalid_token"' } }
      }
      const script = `
        import { memoryStore } from 'evertoken'
        const gone = { ...api, tokenEndpoint: 'http://127.0.0.1:1/token' }
        const tokens = createTokenManager({ clients: { api, gone }, store: memoryStore() })
        show((await tokens.getToken('api')).accessToken)
        show(await (await tokens.fetch('api', { baseUrl: origin })('/data')).json())
        show(await codeOf(tokens.getToken('nobody')))
        show(await tokens.getToken('gone').catch(({ name }) => name))
        await tokens.close()
      `
      const { code, stdout, stderr } = await run(script, server.origin, ['--no-warnings', ...flags])
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
      expect(stdout.trim().split('\n')).toEqual(['"token-1"', '"data"', '"client_unknown"', '"TransportError"'])
    })
  }
})
