/** What cannot be measured here, in words for the user; the rest of the run goes on without it. */
export class LeftOut extends Error {
  readonly what: string

  /** @param what the name of a scenario or of a mode */
  constructor(what: string, why: string) {
    super(why)
    this.what = what
  }
}
