import { randomBytes } from 'node:crypto'
import { clientSecretBasic, encryptedStore, memoryStore, privateKeyJwt } from 'evertoken'
import { decodeProtectedHeader } from 'jose'
import { afterEach, beforeEach, describe, expect, vi } from 'vitest'
import { test } from '../support/fixtures.ts'
import { tokenJson } from '../support/hostile-server.ts'
import { testKey } from '../support/keys.ts'

const CALLS = 1000
const API = { origins: ['https://api.example'] }
const TARGET = { method: 'GET', url: new URL('https://api.example/items') }

describe('A8.04 what a request costs', () => {
  /** Every call of `crypto.subtle`, with the name of its algorithm. */
  const calls: string[] = []

  beforeEach(() => {
    calls.length = 0
    const { subtle } = crypto
    const watched = new Proxy(subtle, {
      get(target, name) {
        const method: unknown = Reflect.get(target, name)
        if (typeof method !== 'function') return method
        return (...args: readonly unknown[]) => {
          const algorithm = name === 'importKey' ? args[2] : args[0]
          calls.push(`${String(name)} ${Object(algorithm).name ?? algorithm}`)
          return method.apply(target, args)
        }
      },
    })
    vi.stubGlobal('crypto', {
      subtle: watched,
      getRandomValues: crypto.getRandomValues.bind(crypto),
      randomUUID: crypto.randomUUID.bind(crypto),
    })
  })
  afterEach(() => {
    vi.unstubAllGlobals()
  })

  async function timesOver(work: () => Promise<unknown>): Promise<void> {
    for (let n = 0; n < CALLS; n++) await work()
  }

  test('A8.04 a Bearer token that is in memory costs no cryptography, however the client proves itself', async ({
    manage,
  }) => {
    const { pem } = await testKey('RS256')
    for (const authentication of [
      clientSecretBasic('a-long-enough-secret'),
      privateKeyJwt(pem, { audience: 'https://as.example' }),
    ]) {
      const tokens = manage({ authentication })
      const authorizer = tokens.authorizer('api', API)
      await tokens.getToken('api')
      calls.length = 0
      await timesOver(() => tokens.getToken('api'))
      await timesOver(() => authorizer.begin(TARGET))
      expect(calls).toEqual([])
    }
  })

  test('A8.04 an assertion is signed for a token request, and for no call', async ({ manage, server }) => {
    const { pem } = await testKey('RS256')
    const tokens = manage({ authentication: privateKeyJwt(pem, { audience: 'https://as.example' }) })
    await timesOver(() => tokens.getToken('api'))
    expect(server.requests).toHaveLength(1)
    expect(calls.filter((call) => call.startsWith('sign'))).toHaveLength(1)
  })

  test('A8.04 a proof is an ES256 signature where nobody says otherwise, and makes or imports no key', async ({
    manage,
    server,
  }) => {
    server.answer = tokenJson({ token_type: 'DPoP' })
    const authorizer = manage({ dpop: true }).authorizer('api', API)
    await authorizer.begin(TARGET)
    calls.length = 0
    const algs = new Set<string | undefined>()
    await timesOver(async () => {
      const { headers } = await authorizer.begin(TARGET)
      algs.add(decodeProtectedHeader(String(headers.dpop)).alg)
    })
    expect(algs).toEqual(new Set(['ES256']))
    expect(calls.filter((call) => !/^(sign ECDSA|digest SHA-256)$/.test(call))).toEqual([])
  })

  test('A8.04 an encrypted store derives no key: each is imported once', async () => {
    const store = encryptedStore(memoryStore(), { keys: [{ id: 'one', key: randomBytes(32) }] })
    await timesOver(async () => {
      await store.set('key', 'value', Date.now() + 60_000)
      await store.get('key')
    })
    const rare = calls.filter((call) => !/^(encrypt|decrypt) AES-GCM$/.test(call))
    expect(rare).toEqual(['importKey AES-GCM'])
  })
})
