/** A table that links units: those in `needs` are needed by those in `unit`, columns of content ids. */
export interface UnitLink {
  readonly table: string;
  readonly needs: string;
  readonly unit: string;
}

/** A type of content as upkeep needs it. Names are the code's own. */
export interface UnitTable {
  /** `container.blob` */
  readonly pulp_type: string;
  /** Its rows share the ids of content. */
  readonly table: string;
  /** How other units need these: one that is needed is no orphan. */
  readonly neededBy: readonly UnitLink[];
  /** Units name others of their own type: removed one batch after the other, again and again until none is left. */
  readonly chained?: true;
  /** The stored bytes may go where a remote has them: who asks for them gets them from there. */
  readonly reclaimable?: true;
  /** What keeps the stored bytes all the same: the versions that it is for are not made yet. */
  readonly awaitedBy?: UnitLink;
}
