-- CreateTable
CREATE TABLE "header_content_guard" (
    "id" UUID NOT NULL,
    "header_name" TEXT NOT NULL,
    "header_value" TEXT NOT NULL,
    "jq_filter" TEXT,

    CONSTRAINT "header_content_guard_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "envvar_header_content_guard" (
    "id" UUID NOT NULL,
    "header_name" TEXT NOT NULL,
    "env_var" TEXT NOT NULL,

    CONSTRAINT "envvar_header_content_guard_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "composite_guard_member" (
    "composite_id" UUID NOT NULL,
    "guard_id" UUID NOT NULL,
    "position" INTEGER NOT NULL,

    CONSTRAINT "composite_guard_member_pkey" PRIMARY KEY ("composite_id","guard_id")
);

-- CreateIndex
CREATE INDEX "composite_guard_member_guard_id_idx" ON "composite_guard_member"("guard_id");

-- AddForeignKey
ALTER TABLE "header_content_guard" ADD CONSTRAINT "header_content_guard_id_fkey" FOREIGN KEY ("id") REFERENCES "content_guard"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "envvar_header_content_guard" ADD CONSTRAINT "envvar_header_content_guard_id_fkey" FOREIGN KEY ("id") REFERENCES "content_guard"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "composite_guard_member" ADD CONSTRAINT "composite_guard_member_composite_id_fkey" FOREIGN KEY ("composite_id") REFERENCES "content_guard"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "composite_guard_member" ADD CONSTRAINT "composite_guard_member_guard_id_fkey" FOREIGN KEY ("guard_id") REFERENCES "content_guard"("id") ON DELETE CASCADE ON UPDATE CASCADE;
