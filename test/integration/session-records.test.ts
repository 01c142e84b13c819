import { randomBytes } from 'node:crypto'
import type { EncryptionKeys } from 'evertoken'
import { afterAll, afterEach, beforeAll, describe, expect } from 'vitest'
import { createRecorder, rejection, test } from '../support/fixtures.ts'
import type { HostileServer } from '../support/hostile-server.ts'
import { type OpenRecordsOptions, type RecordsBackend, recordsBackends } from '../support/record-backends.ts'
import type { RotatingServer } from '../support/rotating-server.ts'
import { createUserFleet, rotate, type UserFleet, type UserProcess } from '../support/user-processes.ts'

const encryption: EncryptionKeys = { keys: [{ id: '2026-01', key: randomBytes(32) }] }

for (const { name, isMissing, start } of recordsBackends) {
  describe.skipIf(isMissing)(
    `users whose tokens are kept in ${name}${isMissing ? ' (skipped: not installed)' : ''}`,
    () => {
      let backend: RecordsBackend
      const fleets: UserFleet[] = []
      let users = 0
      beforeAll(async () => {
        backend = await start()
      })
      afterEach(async () => {
        await Promise.all(fleets.splice(0).map((fleet) => fleet.close()))
      })
      afterAll(() => backend?.stop())

      /** Starts processes with connections of their own. */
      function fleetOf(
        server: HostileServer,
        store?: null,
      ): (options?: Partial<OpenRecordsOptions>) => Promise<UserProcess> {
        const fleet = createUserFleet(server, store)
        fleets.push(fleet)
        return async (options) => {
          const recorder = createRecorder()
          return fleet.start(await backend.open({ encryption, telemetry: recorder, ...options }), recorder)
        }
      }
      /** A user who has signed in, and the name of what is kept of them. */
      async function signIn(
        { tokens }: UserProcess,
        rotating: RotatingServer,
      ): Promise<{ readonly user: string; readonly key: string }> {
        const user = `user${++users}`
        const before = await backend.entries()
        await tokens.forSubject('web', user).adopt(rotating.login(user))
        const [key = ''] = [...(await backend.entries()).keys()].filter((each) => !before.has(each))
        return { user, key }
      }
      async function textOf(key: string): Promise<string> {
        return (await backend.entries()).get(key) ?? expect.fail(`nothing at ${key}`)
      }

      test('U5 U6 are refreshed once by three processes, and known to the next one that starts', async ({ server }) => {
        const rotating = rotate(server)
        const startProcess = fleetOf(server)
        const fleet = [await startProcess(), await startProcess(), await startProcess()]
        const { user } = await signIn(fleet[0] as UserProcess, rotating)
        for (const { token } of fleet) expect(await token(user)).toBe(`access-${user}-0`)
        await fleet[1]?.token(user, true)
        const found = await Promise.all(fleet.flatMap(({ token }) => [token(user, true), token(user, true)]))
        const last = `access-${user}-${rotating.refreshes.get(user)}`
        expect(found).toContain(last)
        expect(rotating.reuses).toBe(0)
        expect(await (await startProcess()).token(user)).toBe(last)
      })

      test('A6.11 leave no token, name or id there in clear', async ({ server }) => {
        const rotating = rotate(server)
        const process = await fleetOf(server)()
        const { user } = await signIn(process, rotating)
        await process.token(user, true)
        const kept = JSON.stringify([...(await backend.entries())])
        expect(kept).not.toMatch(/access-|refresh-|user\d|127\.0\.0\.1/)
      })

      test('A1.09 never get the tokens of another user whose record was put in the place of theirs', async ({
        server,
      }) => {
        const rotating = rotate(server)
        const startProcess = fleetOf(server)
        const process = await startProcess()
        const alice = await signIn(process, rotating)
        const bob = await signIn(process, rotating)
        await backend.plant(alice.key, await textOf(bob.key))
        const other = await startProcess()
        const error = await rejection(other.token(alice.user))
        expect(error).toMatchObject({ name: 'SessionError', reason: 'no_session' })
        expect(other.recorder.events).toContainEqual({ name: 'entry_ignored', reason: 'not_authentic' })
        expect(await other.token(bob.user)).toBe(`access-${bob.user}-0`)
        await other.tokens.forSubject('web', alice.user).adopt(rotating.login(alice.user))
        expect(await (await startProcess()).token(alice.user)).toBe(`access-${alice.user}-0`)
      })

      test('F6.06 stay signed in when the key changes, and sign in again where it is unknown', async ({ server }) => {
        const rotating = rotate(server)
        const startProcess = fleetOf(server)
        const { user } = await signIn(await startProcess(), rotating)
        const fresh = { id: '2026-07', key: randomBytes(32) }
        const rolled = await startProcess({ encryption: { keys: [fresh, ...encryption.keys] } })
        expect(await rolled.token(user, true)).toBe(`access-${user}-1`)
        const behind = await startProcess()
        expect(await rejection(behind.token(user))).toMatchObject({ name: 'SessionError', reason: 'no_session' })
        expect(behind.recorder.events).toContainEqual({ name: 'entry_ignored', reason: 'unknown_key' })
        // Nothing was lost by that.
        expect(await (await startProcess({ encryption: { keys: [fresh] } })).token(user)).toBe(`access-${user}-1`)
        await behind.tokens.forSubject('web', user).adopt(rotating.login(user))
        expect(await (await startProcess()).token(user)).toBe(`access-${user}-0`)
      })

      test('F6.08 keep what is newer in memory than in what has come back after a failover, and it is written again', async ({
        server,
      }) => {
        const rotating = rotate(server)
        const startProcess = fleetOf(server)
        const process = await startProcess()
        const { user, key } = await signIn(process, rotating)
        const older = await textOf(key)
        expect(await process.token(user, true)).toBe(`access-${user}-1`)
        const newer = await textOf(key)
        await backend.plant(key, older)
        expect(await process.token(user)).toBe(`access-${user}-1`)
        expect(process.recorder.events).toContainEqual({ name: 'entry_ignored', reason: 'rolled_back' })
        expect((await textOf(key)).slice(-60)).toContain(newer.slice(-60, -20))
        expect(await (await startProcess()).token(user, true)).toBe(`access-${user}-2`)
        expect(rotating.reuses).toBe(0)
      })

      test('F6.05 U9 stay signed out when somebody puts back what was there before', async ({ server }) => {
        const rotating = rotate(server)
        const startProcess = fleetOf(server, null)
        const process = await startProcess()
        const other = await startProcess()
        const { user, key } = await signIn(process, rotating)
        const older = await textOf(key)
        await process.tokens.forSubject('web', user).signOut()
        expect(await rejection(other.token(user))).toMatchObject({ name: 'SessionError' })
        await backend.plant(key, older)
        expect(await rejection(other.token(user))).toMatchObject({ name: 'SessionError', reason: 'no_session' })
        expect(other.recorder.events).toContainEqual({ name: 'entry_ignored', reason: 'rolled_back' })
        // It was put right for those who could not have known.
        expect(await rejection((await startProcess()).token(user))).toMatchObject({ name: 'SessionError' })
      })
    },
  )
}
