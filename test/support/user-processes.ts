import { localLock, memoryStore, type RecordStore, type TokenStore } from 'evertoken'
import { createUserTokenManager, storedSessions, type UserTokenManager } from 'evertoken/session'
import { clientOf, createRecorder, type Recorder } from './fixtures.ts'
import type { HostileServer } from './hostile-server.ts'
import { createRotatingServer, type RotatingServer } from './rotating-server.ts'

/** One process of a fleet that serves users. */
export interface UserProcess {
  readonly tokens: UserTokenManager<{ readonly web: ReturnType<typeof clientOf> }>
  readonly recorder: Recorder
  /** The user's access token; another one than before where it is to be renewed. */
  readonly token: (user: string, forceRenewal?: boolean) => Promise<string>
}

/** Processes that have a lock in common, and a store for what they remember, unless there is none. */
export interface UserFleet {
  /** Starts one that keeps sessions in these records. */
  start(records: RecordStore, recorder?: Recorder): UserProcess
  close(): Promise<void>
}

/** Clients of the server are named `web`. */
export function createUserFleet(server: HostileServer, store: TokenStore | null = memoryStore()): UserFleet {
  const shared = { clients: { web: clientOf(server) }, lock: localLock(), store: store ?? undefined }
  const processes: UserProcess[] = []
  return {
    start(records, recorder = createRecorder()) {
      const tokens = createUserTokenManager({ ...shared, subjects: storedSessions(records), telemetry: recorder })
      const token: UserProcess['token'] = async (user, forceRenewal = false) => {
        const { accessToken } = await tokens.forSubject('web', user).source().getToken({ forceRenewal })
        return accessToken
      }
      const process = { tokens, recorder, token }
      processes.push(process)
      return process
    },
    async close() {
      await Promise.all(processes.map(({ tokens }) => tokens.close()))
    },
  }
}

/** Makes a hostile server one that rotates refresh tokens. */
export function rotate(server: HostileServer): RotatingServer {
  const rotating = createRotatingServer()
  server.answer = rotating.answer
  return rotating
}
