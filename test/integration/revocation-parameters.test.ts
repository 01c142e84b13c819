import { memoryRecords } from 'evertoken'
import { createUserTokenManager, storedSessions } from 'evertoken/session'
import { describe, expect } from 'vitest'
import { clientOf, rejection, test } from '../support/fixtures.ts'
import { withMetadata } from '../support/handlers.ts'
import type { HostileServer } from '../support/hostile-server.ts'
import { createRotatingServer } from '../support/rotating-server.ts'
import type { TestClock } from '../support/test-clock.ts'

/** A user who is signed in at a server that takes tokens back. */
async function signedIn(server: HostileServer, clock: TestClock) {
  const rotating = createRotatingServer()
  server.answer = withMetadata(rotating.answer)
  const client = clientOf(server, {
    issuer: server.origin,
    tokenEndpoint: undefined,
    parameters: { audience: 'urn:api' },
  })
  const tokens = createUserTokenManager({
    clients: { web: client },
    subjects: storedSessions(memoryRecords({ clock }), { clock }),
    clock,
  })
  const user = tokens.forSubject('web', 'alice')
  await user.adopt(rotating.login('alice'))
  return { user, rotating }
}

describe('U9 U14 parameters of a revocation', () => {
  test.for(['signOut', 'revoke'] as const)(
    'U14 %s sends those of the request, and not those of token requests',
    async (end, { server, clock }) => {
      const { user, rotating } = await signedIn(server, clock)
      await user[end]({ parameters: { logout_hint: 'alice@example', left_out: '' } })
      const sent = server.requests.filter(({ url }) => url === '/revoke')
      expect(sent[0]?.form.get('token')).toBe('refresh-alice-0')
      for (const { form } of sent) {
        expect(form.get('logout_hint')).toBe('alice@example')
        expect(form.has('left_out') || form.has('audience')).toBe(false)
      }
      expect(rotating.isAlive('alice')).toBe(false)
    },
  )

  test.for(
    (['signOut', 'revoke'] as const).flatMap((end) =>
      ['token', 'token_type_hint', 'client_id', 'client_assertion'].map((name) => ({ end, name })),
    ),
  )('U14 $end refuses the reserved name $name before anything has ended', async ({ end, name }, { server, clock }) => {
    const { user } = await signedIn(server, clock)
    const error = await rejection(user[end]({ parameters: { [name]: 'another' } }))
    expect(error).toMatchObject({ name: 'ConfigurationError', code: 'parameter_reserved' })
    expect(server.requests.filter(({ url }) => url === '/revoke')).toEqual([])
    expect(await user.source().getToken()).toMatchObject({ accessToken: 'access-alice-0' })
  })
})
