import { randomBytes } from 'node:crypto'
import { type ClientDefinition, createTokenManager, localLock, type TokenManager } from 'evertoken'
import { keyvStore } from 'evertoken/stores/keyv'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect } from 'vitest'
import { clientOf, createRecorder, type Recorder, test } from '../support/fixtures.ts'
import type { HostileServer } from '../support/hostile-server.ts'
import { type KeyvBackend, keyvCases } from '../support/keyv.ts'
import type { TestedKeyv } from '../support/keyv-versions.ts'

const encryption = { keys: [{ id: '2026-01', key: randomBytes(32) }] }

type Clients = Readonly<Record<'invoice' | 'catalog', ClientDefinition>>

interface Process {
  readonly tokens: TokenManager<Clients>
  readonly recorder: Recorder
}

for (const { title, isMissing, name, start: startBackend, version } of keyvCases) {
  describe.skipIf(isMissing)(`a fleet with ${title}`, () => {
    let backend: KeyvBackend
    let keyv: TestedKeyv
    const managers: TokenManager<Clients>[] = []
    beforeAll(async () => {
      backend = await startBackend(version)
      keyv = await backend.connect()
    })
    beforeEach(() => keyv.clear())
    afterEach(async () => {
      for (const manager of managers.splice(0)) await manager.close()
    })
    afterAll(() => backend?.stop())

    /** What one process of a fleet has of its own: adapter, Keyv, manager, memory. */
    async function start(
      server: HostileServer,
      options: { prefix?: string; lock?: ReturnType<typeof localLock> } = {},
    ): Promise<Process> {
      const { lock, prefix } = options
      const recorder = createRecorder()
      const clients: Clients = {
        invoice: clientOf(server, { scope: 'invoice' }),
        catalog: clientOf(server, { scope: 'catalog' }),
      }
      const store = keyvStore(await backend.connect(), { encryption, prefix, telemetry: recorder })
      const tokens = createTokenManager<Clients>({ clients, store, lock, telemetry: recorder })
      managers.push(tokens)
      return { tokens, recorder }
    }

    test('C5 makes one token request of two thousand calls, and nobody can read the token there', async ({
      server,
    }) => {
      const lock = localLock()
      const fleet = [await start(server, { lock }), await start(server, { lock })]
      const calls = fleet.flatMap(({ tokens }) => Array.from({ length: 1000 }, () => tokens.getToken('invoice')))
      const found = new Set((await Promise.all(calls)).map(({ accessToken }) => accessToken))
      expect([...found]).toEqual(['token-1'])
      expect(server.requests).toHaveLength(1)
      expect((await backend.entries()).size).toBe(1)
      expect(await backend.image()).not.toMatch(/token-1|machine|a-long-enough-secret|invoice|127\.0\.0\.1/)
      const late = await start(server)
      expect((await late.tokens.getToken('invoice')).accessToken).toBe('token-1')
      expect(server.requests).toHaveLength(1)
    })

    test('C4 A1.04 does not share with a manager that has another prefix', async ({ server }) => {
      const [one, other] = [await start(server), await start(server, { prefix: 'other:' })]
      await one.tokens.getToken('invoice')
      await other.tokens.getToken('invoice')
      expect(server.requests).toHaveLength(2)
      expect((await backend.entries()).size).toBe(2)
    })

    test('F6.04 does not find a token that was copied from another key', async ({ server }) => {
      const [one, other] = [await start(server), await start(server)]
      await one.tokens.getToken('invoice')
      const [[invoice, text] = ['', '']] = await backend.entries()
      await one.tokens.getToken('catalog')
      for (const key of (await backend.entries()).keys()) if (key !== invoice) await backend.write(key, text)
      await other.tokens.getToken('catalog')
      expect(server.requests).toHaveLength(3)
      expect(other.recorder.events).toContainEqual({ name: 'entry_ignored', reason: 'not_authentic' })
    })

    if (['Redis', 'Postgres'].includes(name))
      test('F6.01 goes on while the server is gone: no failed call, one event, and shares again by itself', async ({
        server,
      }) => {
        const one = await start(server)
        await one.tokens.getToken('invoice')
        await backend.server?.kill()
        for (let n = 0; n < 20; n++) await one.tokens.getToken('catalog', { scope: `scope-${n}` })
        expect(server.requests).toHaveLength(21)
        const changes = (access: string): readonly string[] =>
          one.recorder.events.flatMap((event) => ('access' in event && event.access === access ? [event.name] : []))
        expect([changes('read'), changes('write')]).toEqual([['store_down'], ['store_down']])
        await backend.server?.start()
        const renewed = async (): Promise<readonly string[]> => {
          await one.tokens.getToken('invoice', {}, { forceRenewal: true })
          await one.tokens.getToken('catalog', { scope: `scope-${server.requests.length}` })
          return [...changes('read'), ...changes('write')]
        }
        const both = ['store_down', 'store_up', 'store_down', 'store_up']
        await expect.poll(renewed, { interval: 100, timeout: 10_000 }).toEqual(both)
        const { accessToken } = await one.tokens.getToken('invoice', {}, { forceRenewal: true })
        const other = await start(server)
        expect((await other.tokens.getToken('invoice')).accessToken).toBe(accessToken)
      })

    if (name === 'SQLite')
      test('F6.01 goes on while another process has the file to itself', async ({ server }) => {
        const one = await start(server)
        const unlock = await backend.lock?.()
        for (let n = 0; n < 5; n++) await one.tokens.getToken('catalog', { scope: `scope-${n}` })
        await unlock?.()
        expect(server.requests).toHaveLength(5)
        expect(one.recorder.failures).toContain('store.get store_unavailable')
        const kept = async (): Promise<number> => {
          await one.tokens.getToken('invoice', {}, { forceRenewal: true })
          return (await backend.entries()).size
        }
        await expect.poll(kept, { interval: 100, timeout: 10_000 }).toBeGreaterThan(0)
      })
  })
}
