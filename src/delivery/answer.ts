/** One answer, from its plan to its end. */
import type { Representation, RequestFields, ResponsePlan } from '../http/plan.ts'
import type { Exchange } from '../metrics/exchange.ts'
import type { OpenFile } from '../storage/open-file.ts'
import type { FieldBlock, Sink } from './sink.ts'

/** What is asked, and where the answer goes. */
export interface FileRequest {
  readonly exchange: Exchange
  readonly sink: Sink
  readonly method: 'GET' | 'HEAD'
  readonly fields: RequestFields
  /** header fields that depend on the request: name, value, name, value … */
  readonly extraFields: readonly string[]
  /** in the place of the type that the file's name tells */
  readonly contentType?: string | undefined
  /**
   * Called with an answer that is planned, before its first byte; it may change the two above.
   * @returns undefined once the answer may begin; otherwise when to look at the file again, and to ask again
   * @throws what the request is refused with
   */
  prepare?(answer: Answer): Promise<void> | undefined
}

/** What HTTP needs to know of a file: computed once for each content, used by every request. */
export interface Selected {
  readonly representation: Representation
  /** what 200, 206 and 304 have in common */
  readonly common: FieldBlock
  /** whether its validators are those that it keeps */
  readonly isFinal: boolean
}

/** planned: nothing was sent yet. begun: the status line was. complete, or aborted: the end. */
export type Phase = 'planned' | 'begun' | 'complete' | 'aborted'

export interface Answer {
  readonly request: FileRequest
  readonly file: OpenFile
  readonly selected: Selected
  readonly plan: ResponsePlan
  phase: Phase
}

/** For the log. */
export function nameOf({ file, request }: Answer): string {
  const { range } = request.exchange
  return range === undefined ? file.path : `${file.path} ${range}`
}
