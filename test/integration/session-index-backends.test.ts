import { randomBytes } from 'node:crypto'
import type { EncryptionKeys, RecordStore } from 'evertoken'
import { createTokenSet, type SessionTokens, storedSessions } from 'evertoken/session'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type RecordsBackend, recordsBackends } from '../support/record-backends.ts'

const ISSUER = 'https://op.example'
const encryption: EncryptionKeys = { keys: [{ id: '2026-01', key: randomBytes(32) }] }

for (const { name, isMissing, start } of recordsBackends) {
  describe.skipIf(isMissing)(
    `sessions by subject and sid in ${name}${isMissing ? ' (skipped: not installed)' : ''}`,
    () => {
      let backend: RecordsBackend
      let stores: RecordStore[]
      beforeAll(async () => {
        backend = await start()
        // SQLite refuses to be written to by two connections at once.
        const connections = name.includes('SQLite') ? [0] : [0, 1, 2]
        stores = await Promise.all(connections.map(() => backend.open({ encryption })))
      })
      afterAll(() => backend?.stop())

      async function signIn(process: number, subject: string, sid: string): Promise<SessionTokens> {
        const session = storedSessions(stores[process % stores.length] as RecordStore).create()
        const now = Date.now()
        const claims = { iss: ISSUER, aud: 'web', sub: subject, sid, iat: Math.floor(now / 1000) }
        const idToken = `e30.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.AA`
        const lineage = { generation: now, client: 'web', subject, issuer: ISSUER, startedAt: now }
        expect(
          await session.save(createTokenSet({ ...lineage, refreshToken: `refresh-${sid}`, idToken, accessTokens: [] })),
        ).toBe(true)
        return session
      }

      it('N19.05 thirty sign-ins at once are all found and ended through another connection', async () => {
        const sids = Array.from({ length: 30 }, (_, n) => `all-${n}`)
        const signedIn = await Promise.all(sids.map((sid, n) => signIn(n, 'alice', sid)))
        const other = await signIn(0, 'bob', 'other')
        const sessions = storedSessions(await backend.open({ encryption }))
        // One second later by the server's clock.
        const logout = { issuer: ISSUER, clientId: 'web', at: Date.now() + 1000 }
        const [one] = await sessions.end({ ...logout, sid: 'all-7' })
        expect(one?.refreshToken).toBe('refresh-all-7')
        const rest = await sessions.end({ ...logout, subject: 'alice' })
        expect(new Set([one, ...rest].map((set) => set?.refreshToken))).toEqual(
          new Set(sids.map((sid) => `refresh-${sid}`)),
        )
        for (const session of signedIn) expect(await session.load()).toBeUndefined()
        expect(await other.load()).toMatchObject({ subject: 'bob' })
      })

      it('A4 N19.05 what lies there tells of nobody', async () => {
        const session = await signIn(0, 'carol-of-the-crypt', 'sid-of-the-crypt')
        const text = JSON.stringify([...(await backend.entries())])
        for (const secret of [session.id, 'carol-of-the-crypt', 'sid-of-the-crypt', ISSUER])
          expect(text).not.toContain(secret)
      })
    },
  )
}
